//! The canonical form of a form (`application/x-www-form-urlencoded`): its fields sorted by name,
//! the characters that encoders write differently in one spelling.
//!
//! Servers read a form differently where it is no `name=value&name=value` of plain ASCII. Some
//! split it at `;`, too. Such a form counts by its bytes.
//!
//! Fields that a server may read into one value keep their order: those of one name, of names that
//! differ in case, and of nested names, such as `item[][id]` and `item[][size]`, or `a.b` and
//! `a[b]`. Characters that an encoder has to encode are not the same when they are sent as they
//! are: a server may split a value at `,` and not at `%2C`. Empty fields count.

use super::{
    super::{
        groups::sorted,
        percent::{encoded, escape},
    },
    ignored::{IgnoredFields, LeftOut},
};

/// A form with more fields counts by its bytes. Servers read a thousand or more, and drop the
/// others.
const MAX_FIELDS: usize = 1_000;

/// The fields of a form in canonical form, each with a `&` behind it. `None` if servers may read
/// the body differently.
pub(super) fn canonical(body: &[u8], ignored: &IgnoredFields) -> Option<Vec<u8>> {
    if !body.iter().all(|&byte| byte.is_ascii_graphic() && byte != b';') {
        return None;
    }
    let mut left_out = LeftOut::none(ignored);
    let mut fields = Vec::new();
    for (position, field) in body.split(|&byte| byte == b'&').enumerate() {
        if position == MAX_FIELDS {
            return None;
        }
        if field.is_empty() {
            fields.push((String::new(), b"&".to_vec()));
            continue;
        }
        // Some servers read a field without a `=` as a name, and others as a value.
        let equals = field.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&field[..equals], &field[equals + 1..]);
        let mut canonical = Vec::with_capacity(field.len() + 1);
        let name = String::from_utf8(push_canonical(&mut canonical, name)?).ok()?;
        canonical.push(b'=');
        push_canonical(&mut canonical, value)?;
        canonical.push(b'&');
        // The value of `_charset_` is the charset of the others, in some servers.
        if !is_well_formed(&name) || root(&name) == "_charset_" || has_second_name(value) {
            return None;
        }
        if !left_out.has(name.as_bytes())? {
            fields.push((name, canonical));
        }
    }
    Some(sorted(fields, root).into_iter().flat_map(|(_, field)| field).collect())
}

fn is_well_formed(name: &str) -> bool {
    let (root, nested) = name.split_at(name.find('[').unwrap_or(name.len()));
    let is_nested_well = nested.is_empty() || (!root.is_empty() && nested.contains(']'));
    is_nested_well && !name.contains(char::is_control)
}

/// The name as PHP and ASP.NET read it: `a b`, `a.b` and `A_b` are one, and so are `a[x]` and
/// `a[y]`.
fn root(name: &str) -> String {
    let root = name.split('[').next().unwrap_or_default();
    root.trim_start_matches(' ').replace([' ', '.'], "_").to_lowercase()
}

/// Whether the value contains `]=`, which ends the name of the field in some servers.
fn has_second_name(value: &[u8]) -> bool {
    let ends_with_bracket = |piece: &[u8]| {
        let escaped = piece.len().checked_sub(3).map(|start| &piece[start..]);
        piece.ends_with(b"]") || escaped.is_some_and(|it| it.eq_ignore_ascii_case(b"%5D"))
    };
    let mut pieces = value.rsplit(|&byte| byte == b'=');
    // What comes after the last `=`.
    pieces.next();
    pieces.any(ends_with_bracket)
}

/// Writes a name or a value in its canonical spelling, and returns it decoded. `None` if a
/// percent-encoding is invalid.
fn push_canonical(out: &mut Vec<u8>, text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let (byte, is_encoded) = match first {
            b'+' => (b' ', true),
            b'%' => {
                rest = tail.get(2..)?;
                (escape(tail)?, true)
            }
            byte => (byte, false),
        };
        if is_encoded && !is_unreserved(byte) {
            out.extend_from_slice(&encoded(byte));
        } else {
            out.push(byte);
        }
        decoded.push(byte);
    }
    Some(decoded)
}

/// Whether some encoder leaves this byte as it is: one by RFC 3986 §2.3, by the URL Standard, or
/// the function `encodeURIComponent` of browsers.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~*!'()".contains(&byte)
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
            ("%61=%41+b%20c&B=%c3%a9", "a=A%20b%20c&B=%C3%A9&"),
            ("a=2&b=&a=1", "a=2&a=1&b=&"),
            ("a=1=2", "a=1=2&"),
            ("a=1%3d2", "a=1%3D2&"),
            ("a=%26", "a=%26&"),
            ("a=&", "&a=&"),
            ("a=~%2A%21%27%28%29%7E", "a=~*!'()~&"),
            ("a=1,2&b=1%2c2", "a=1,2&b=1%2C2&"),
            ("b[x]=1&a[y]=2&b[y]=3", "a[y]=2&b[x]=1&b[y]=3&"),
            ("=x", "=x&"),
            ("a=%00%ff", "a=%00%FF&"),
        ] {
            assert_eq!(of(body, &[]).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn forms_that_say_something_else_stay_different() {
        let bodies = [
            "a=1&a=2",
            "a=2&a=1",
            "a=1",
            "a=",
            "A=1",
            "a=1&",
            "a=1%26a=2",
            "a=1+",
            "=a=1",
            "a=1%3Bb%3D2",
            "a=1,2",
            "a=1%2C2",
            "a=x%5D%3Dy",
            "i[][id]=1&i[][qty]=5&i[][id]=2",
            "i[][id]=1&i[][id]=2&i[][qty]=5",
            "i%5B%5D[id]=1&i[][id]=2&i[][qty]=5",
            "a[]=1&a=2",
            "a=2&a[]=1",
            "B=1&b=2",
            "b=2&B=1",
            "a.b=1&a_b=2",
            "a_b=2&a.b=1",
            "a+b=1&a_b=2",
            "a_b=2&a+b=1",
            "a[b]=1&a.b=2",
            "a.b=2&a[b]=1",
            "a=1&a.b=2",
            "a.b=2&a=1",
        ];
        for (position, one) in bodies.iter().enumerate() {
            for other in &bodies[position + 1..] {
                let (one_form, other_form) = (of(one, &[]), of(other, &[]));
                assert!(one_form.is_some() && other_form.is_some(), "{one} {other}");
                assert_ne!(one_form, other_form, "{one} {other}");
            }
        }
    }

    #[test]
    fn forms_that_servers_read_differently_count_by_their_bytes() {
        let many = ["a=1"; MAX_FIELDS].join("&");
        assert!(of(&many, &[]).is_some());
        for body in [
            "a=%",
            "a=%4",
            "%zz=1",
            "a=1&b=%g0",
            "a=%u0041",
            "a=1;b=2",
            "a=1&b=x;c=2",
            "a b=1",
            "a=1 ",
            "a=1\r\n",
            "a=\0",
            "\u{feff}a=1",
            "é=1",
            "a=é",
            "%ff=1",
            "a%00=1",
            "a",
            "a=1&b",
            "a=x]=y",
            "a=x%5d=y",
            "a[b=1",
            "[a]=1",
            "a=1&_charset_=utf-7",
            "a=1&_Charset%5f=utf-7",
            &format!("{many}&a=1"),
        ] {
            assert_eq!(of(body, &[]), None, "{body:?}");
        }
    }

    #[test]
    fn an_ignored_field_hides_nothing_that_a_server_may_read() {
        for body in [
            "q=tea&csrf=x;q=evil",
            "q=tea&csrf;q=evil",
            "q=tea&csrf=x]=y",
            "q=tea&csrf=x&csrf=y",
            "q=tea&csrf=x&CSRF=y",
            "q=tea&csrf",
        ] {
            assert_eq!(of(body, &["csrf"]), None, "{body}");
        }
        for body in ["q=tea&csrf[x]=y", "q=tea&csrf.x=y", "q=tea&+csrf=y", "q=tea&csrf%5B%5D=y"] {
            assert_ne!(of(body, &["csrf"]), of("q=tea", &["csrf"]), "{body}");
        }
    }

    #[test]
    fn ignored_fields_are_left_out_by_their_decoded_name() {
        assert_eq!(
            of("user=a&pass%57ord=x&TOKEN=", &["password", "token"]).as_deref(),
            Some("user=a&")
        );
        assert_eq!(of("password=x", &["password"]).as_deref(), Some(""));
    }
}
