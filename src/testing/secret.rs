//! Which header fields carry secrets, by their names. The command `larder` has this file too: it
//! masks what a cassette does not record.

use http::HeaderName;

/// Parts of the names of fields with secrets: cookies, tokens, and credentials of any scheme.
const SECRET_PARTS: [&str; 17] = [
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "session",
    "authorization",
    "authentication-info",
    "api-key",
    "apikey",
    "auth-key",
    "access-key",
    "jwt",
    "csrf",
    "xsrf",
    "signature",
];

/// Parts of the names of fields that only look secret: permissions (CORS), and counts of tokens.
const PUBLIC_PARTS: [&str; 3] = ["access-control-", "ratelimit", "rate-limit"];

/// Whether the value of a field may let somebody act as the user.
pub(crate) fn is_secret(name: &HeaderName) -> bool {
    let has = |parts: &[&str]| parts.iter().any(|part| name.as_str().contains(part));
    has(&SECRET_PARTS) && !has(&PUBLIC_PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_credentials_are_secret_and_challenges_are_not() {
        for (name, expected) in [
            ("set-cookie", true),
            ("x-auth-token", true),
            ("x-amz-security-token", true),
            ("proxy-authentication-info", true),
            ("x-ratelimit-remaining-tokens", false),
            ("access-control-allow-credentials", false),
            ("www-authenticate", false),
            ("content-type", false),
            ("etag", false),
        ] {
            assert_eq!(is_secret(&HeaderName::from_static(name)), expected, "{name}");
        }
    }
}
