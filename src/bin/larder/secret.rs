//! Which header fields of a response carry secrets.

use http::HeaderName;

/// Parts of the names of fields with secrets: cookies, tokens, and credentials of any scheme.
const PARTS: [&str; 17] = [
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

/// Whether the value of a field may let somebody act as the user. The field is judged by its name:
/// a name that only looks secret is masked too.
pub(crate) fn is_secret(name: &HeaderName) -> bool {
    PARTS.iter().any(|part| name.as_str().contains(part))
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
            ("www-authenticate", false),
            ("content-type", false),
            ("etag", false),
        ] {
            assert_eq!(is_secret(&HeaderName::from_static(name)), expected, "{name}");
        }
    }
}
