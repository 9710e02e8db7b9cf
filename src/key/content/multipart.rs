//! The canonical form of a multipart form (RFC 7578): its parts in their order, without the
//! boundary between them.
//!
//! Clients draw a new boundary for each request. Each part stays as it was sent, with its header
//! lines. The syntax is that of RFC 2046 §5.1.1 without what clients do not send: text before the
//! first boundary, text after the last one, whitespace behind a boundary. Servers disagree about
//! those.

use super::ignored::IgnoredFields;

/// The parts between the boundaries, without the ignored ones. `None` if the body is malformed.
pub(super) fn parts<'a>(
    body: &'a [u8],
    boundary: &[u8],
    ignored: &IgnoredFields,
) -> Option<Vec<&'a [u8]>> {
    let delimiter = [b"\r\n--", boundary].concat();
    // The line break before the first boundary may be missing.
    let mut rest = body.strip_prefix(&delimiter[2..])?;
    let mut parts = Vec::new();
    loop {
        rest = match rest {
            [b'-', b'-'] | [b'-', b'-', b'\r', b'\n'] => return Some(parts),
            [b'\r', b'\n', rest @ ..] => rest,
            _ => return None,
        };
        let end = find(rest, &delimiter)?;
        let part = &rest[..end];
        if !ignored.has_names() || !ignored.has_name(&name(part)?) {
            parts.push(part);
        }
        rest = &rest[end + delimiter.len()..];
    }
}

/// The name of the field in a part. `None` if the part has none.
pub(super) fn name(part: &[u8]) -> Option<Vec<u8>> {
    let mut rest = part;
    loop {
        let (line, behind) = rest.split_at(find(rest, b"\r\n")?);
        // The header ends with an empty line.
        let colon = line.iter().position(|&byte| byte == b':')?;
        if line[..colon].eq_ignore_ascii_case(b"content-disposition") {
            return name_in(&line[colon + 1..]);
        }
        rest = &behind[2..];
    }
}

/// The parameter `name` of a `Content-Disposition` field. Browsers escape quotes as `%22`, other
/// clients as `\"`.
fn name_in(field: &[u8]) -> Option<Vec<u8>> {
    let mut rest = field;
    loop {
        rest = &rest[rest.iter().position(|&byte| byte == b';')? + 1..];
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|&byte| b"=;".contains(&byte))?;
        let parameter = rest[..end].trim_ascii_end();
        let (value, behind) = value(rest[end..].strip_prefix(b"=")?)?;
        if parameter.eq_ignore_ascii_case(b"name") {
            return Some(value);
        }
        rest = behind;
    }
}

/// The value of a parameter without quotes, and the text behind it.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let text = text.trim_ascii_start();
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|&byte| byte == b';').unwrap_or(text.len());
        return Some((text[..end].trim_ascii_end().to_vec(), &text[end..]));
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some((value, rest)),
            [b'\\', byte @ (b'"' | b'\\'), rest @ ..] => {
                value.push(*byte);
                rest
            }
            [b'%', b'2', b'2', rest @ ..] => {
                value.push(b'"');
                rest
            }
            [byte, rest @ ..] => {
                value.push(*byte);
                rest
            }
            [] => return None,
        }
    }
}

/// Where `wanted` begins first. The delimiter has one line break, at its start, so each byte of the
/// body is compared with a bounded number of others.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        start += text[start..].iter().position(|byte| Some(byte) == wanted.first())?;
        if text[start..].starts_with(wanted) {
            return Some(start);
        }
        start += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, boundary: &str, ignored: &[&str]) -> Option<Vec<String>> {
        let mut fields = IgnoredFields::default();
        ignored.iter().for_each(|name| fields.add(name).unwrap());
        let parts = parts(body.as_bytes(), boundary.as_bytes(), &fields)?;
        Some(parts.into_iter().map(|part| String::from_utf8(part.to_vec()).unwrap()).collect())
    }

    const FIREFOX: &str = "----geckoformboundary5f4dcc3b5aa765d61d8327deb882cf99";
    const CURL: &str = "------------------------d74496d66958873e";

    fn sent_by(boundary: &str) -> String {
        [
            &format!("--{boundary}\r\n"),
            "Content-Disposition: form-data; name=\"user\"\r\n\r\nalice\r\n",
            &format!("--{boundary}\r\n"),
            "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n",
            "Content-Type: text/plain\r\n\r\n--dashes\r\n-\r\n\r\n",
            &format!("--{boundary}--\r\n"),
        ]
        .concat()
    }

    #[test]
    fn forms_of_two_clients_have_the_same_parts() {
        let firefox = of(&sent_by(FIREFOX), FIREFOX, &[]).unwrap();
        assert_eq!(firefox.len(), 2);
        assert!(firefox[1].ends_with("--dashes\r\n-\r\n"));
        assert_eq!(of(&sent_by(CURL), CURL, &[]), Some(firefox));
        assert_eq!(of(&sent_by(CURL), FIREFOX, &[]), None);
    }

    #[test]
    fn malformed_bodies_have_no_parts() {
        for body in [
            "",
            "--b",
            "--b-",
            "--b\r\n",
            "--b\r\nx",
            "--b\r\nx\r\n--b",
            "--b\r\nx\r\n--bb--",
            "--b\r\nx\r\n--b--more",
            "--b\r\nx\r\n--b--\r\nmore",
            "--b \r\nx\r\n--b--",
            "before\r\n--b\r\nx\r\n--b--",
            "--b\r\nx\r\n--b\r\n--b--",
        ] {
            assert_eq!(of(body, "b", &[]), None, "{body:?}");
        }
        assert_eq!(of("--b--", "b", &[]), Some(vec![]));
        assert_eq!(of("--b\r\n\r\n--b--\r\n", "b", &[]), Some(vec![String::new()]));
    }

    #[test]
    fn ignored_parts_are_left_out_by_their_name() {
        let kept = of(&sent_by(CURL), CURL, &["USER"]).unwrap();
        assert_eq!(kept.len(), 1);
        assert!(kept[0].contains("a.txt"));
        let part = |disposition: &str| format!("--b\r\n{disposition}\r\n\r\nx\r\n--b--");
        for (disposition, name) in [
            ("content-disposition:form-data;name=a", "a"),
            ("X: y\r\nContent-Disposition: form-data; filename=\"name=b;\"; name=\"a\"", "a"),
            ("Content-Disposition: form-data; name=\"a\\\"b\"", "a\"b"),
            ("Content-Disposition: form-data; name=\"a%22b\"", "a\"b"),
            ("Content-Disposition: form-data; NAME = \"a\"; x=y", "a"),
        ] {
            assert_eq!(of(&part(disposition), "b", &[name]), Some(vec![]), "{disposition}");
            assert_eq!(of(&part(disposition), "b", &["b"]).map(|it| it.len()), Some(1));
        }
        for unnamed in ["X: y", "no header", "Content-Disposition: form-data", "", "\r\nname=a"] {
            assert_eq!(of(&part(unnamed), "b", &["a"]), None, "{unnamed:?}");
            assert_eq!(of(&part(unnamed), "b", &[]).map(|it| it.len()), Some(1));
        }
    }
}
