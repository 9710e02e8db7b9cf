//! The canonical form of a form (`application/x-www-form-urlencoded`): its fields sorted by name,
//! each name and value percent-encoded in one way.
//!
//! Fields of one name keep their order. `a` and `a=` stay different, and so do empty fields.

use super::{super::url::decode_bytes, ignored::IgnoredFields};

/// The fields of a form in canonical form, each with a `&` behind it. `None` if the body has an
/// invalid percent-encoding, which servers decode differently.
pub(super) fn canonical(body: &[u8], ignored: &IgnoredFields) -> Option<Vec<u8>> {
    let mut fields = Vec::new();
    for field in body.split(|&byte| byte == b'&') {
        let equals = field.iter().position(|&byte| byte == b'=');
        let (name, value) = field.split_at(equals.unwrap_or(field.len()));
        let name = decode_bytes(name)?;
        let value = value.get(1..).map(decode_bytes);
        let value = match value {
            Some(value) => Some(value?),
            None => None,
        };
        if ignored.has_name(&name) {
            continue;
        }
        let mut canonical = Vec::with_capacity(field.len() + 1);
        push_encoded(&mut canonical, &name);
        let name_len = canonical.len();
        if let Some(value) = value {
            canonical.push(b'=');
            push_encoded(&mut canonical, &value);
        }
        canonical.push(b'&');
        fields.push((canonical, name_len));
    }
    fields.sort_by(|(a, a_len), (b, b_len)| a[..*a_len].cmp(&b[..*b_len]));
    Some(fields.into_iter().flat_map(|(field, _)| field).collect())
}

/// Encodes all bytes but the unreserved ones (RFC 3986 §2.3).
fn push_encoded(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, ignored: &[&str]) -> Option<String> {
        let mut fields = IgnoredFields::default();
        ignored.iter().for_each(|name| fields.add(name).unwrap());
        canonical(body.as_bytes(), &fields).map(|form| String::from_utf8(form).unwrap())
    }

    #[test]
    fn fields_are_sorted_and_encoded_in_one_way() {
        for (body, expected) in [
            ("b=2&a=1", "a=1&b=2&"),
            ("%61=%41+b%20c&B=%c3%a9", "B=%C3%A9&a=A%20b%20c&"),
            ("a=2&b&a=1", "a=2&a=1&b&"),
            ("é=é", "%C3%A9=%C3%A9&"),
            ("a=1=2", "a=1%3D2&"),
            ("a=%26", "a=%26&"),
            ("a&", "&a&"),
            ("=x", "=x&"),
            ("a=%00%ff", "a=%00%FF&"),
        ] {
            assert_eq!(of(body, &[]).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn forms_that_say_something_else_stay_different() {
        let bodies =
            ["a=1&a=2", "a=2&a=1", "a=1", "a", "a=", "A=1", "a=1&", "a=1%26a=2", "a=1+", "=a=1"];
        for (position, one) in bodies.iter().enumerate() {
            for other in &bodies[position + 1..] {
                assert_ne!(of(one, &[]), of(other, &[]), "{one} {other}");
            }
        }
    }

    #[test]
    fn invalid_encodings_are_no_form() {
        for body in ["a=%", "a=%4", "%zz=1", "a=1&b=%g0"] {
            assert_eq!(of(body, &[]), None, "{body}");
        }
    }

    #[test]
    fn ignored_fields_are_left_out_by_their_decoded_name() {
        assert_eq!(of("user=a&pass%57ord=x&PASSWORD", &["password"]).as_deref(), Some("user=a&"));
        assert_eq!(of("password=x", &["password"]).as_deref(), Some(""));
    }
}
