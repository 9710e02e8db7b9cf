//! The canonical form of a multipart form (RFC 7578): its parts in their order, without the
//! boundary between them.
//!
//! Clients draw a new boundary for each request. Each part stays as it was sent, with its header
//! lines. The syntax is that of RFC 2046 §5.1.1 without what clients do not send: text before the
//! first boundary, text after the last one, whitespace behind a boundary, the boundary within a
//! part. Servers disagree about those.
//!
//! The header of a part is read only if fields are ignored by name. Servers disagree about headers
//! as well, and a part must not be left out that one of them knows by another name. So the header
//! has to be as plain as clients write it: without repeated fields and parameters, extended
//! parameters (`name*`), backslashes and folded lines. Otherwise, the body counts by its bytes.

use super::{
    ignored::{IgnoredFields, LeftOut},
    media_type::is_token_byte,
};

/// The parts between the boundaries, without the ignored ones. `None` if the body is malformed, or
/// if servers may read it differently.
pub(super) fn parts<'a>(
    body: &'a [u8],
    boundary: &[u8],
    ignored: &IgnoredFields,
) -> Option<Vec<&'a [u8]>> {
    let delimiter = [b"\r\n--", boundary].concat();
    let mut left_out = LeftOut::none(ignored);
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
        // Some servers accept a line feed alone before a boundary.
        if find(part, &delimiter[2..]).is_some() {
            return None;
        }
        if !ignored.has_names() || !left_out.has(name(part)?)? {
            parts.push(part);
        }
        rest = &rest[end + delimiter.len()..];
    }
}

/// The name of the field in a part. `None` if the part has none, or if servers may read another
/// one.
pub(super) fn name(part: &[u8]) -> Option<&[u8]> {
    let header = &part[..find(part, b"\r\n\r\n")?];
    let mut name = None;
    for line in header.split(|&byte| byte == b'\n') {
        // The last line has lost its line break.
        let is_last = line.as_ptr_range().end == header.as_ptr_range().end;
        let line = if is_last { line } else { line.strip_suffix(b"\r")? };
        if line.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
            return None;
        }
        let (field, value) = split_at(line, b':')?;
        if !is_token(field) {
            return None;
        }
        if field.eq_ignore_ascii_case(b"content-disposition")
            && name.replace(name_in(value)?).is_some()
        {
            return None;
        }
    }
    // The value of this part is the charset of the others (RFC 7578 §4.6).
    name.filter(|name| !name.eq_ignore_ascii_case(b"_charset_"))
}

/// The parameter `name` of a `Content-Disposition` field. No escape is decoded: browsers write a
/// quote as `%22`, and other clients as `\"`.
fn name_in(field: &[u8]) -> Option<&[u8]> {
    let end = field.iter().position(|&byte| byte == b';')?;
    if !field[..end].trim_ascii().eq_ignore_ascii_case(b"form-data") {
        return None;
    }
    let mut parameters: Vec<(&[u8], &[u8])> = Vec::new();
    let mut rest = &field[end..];
    while !rest.is_empty() {
        let (name, text) = split_at(rest.strip_prefix(b";")?, b'=')?;
        let name = name.trim_ascii_start();
        let value;
        (value, rest) = parameter_value(text)?;
        let is_repeated = parameters.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if !is_token(name) || name.contains(&b'*') || is_repeated {
            return None;
        }
        parameters.push((name, value));
        rest = rest.trim_ascii_start();
    }
    parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"name")).map(|(_, value)| *value)
}

/// The value of a parameter without quotes, and the text behind it.
fn parameter_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let (value, behind) = split_at(quoted, b'"')?;
        return (!value.contains(&b'\\')).then_some((value, behind));
    }
    let end = text.iter().position(|byte| b"; \t".contains(byte)).unwrap_or(text.len());
    is_token(&text[..end]).then(|| text.split_at(end))
}

/// The text before the first `separator`, and the text behind it.
fn split_at(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let position = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..position], &text[position + 1..]))
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// Where `wanted` begins first. A boundary has at most 70 characters, so each byte of the body is
/// compared with a bounded number of others.
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
            "--b\r\nx\n--b\nx\r\n--b--",
            "--b\r\nx --b\r\n--b--",
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
        for (disposition, name) in [
            ("content-disposition:form-data;name=a", "a"),
            ("X: y\r\nContent-Disposition: form-data; filename=\"name=b;\"; name=\"a\"", "a"),
            ("Content-Disposition: form-data; name=\"a%22b\"", "a%22b"),
            ("Content-Disposition: form-data; NAME=\"a\" ;\tx=y", "a"),
            ("Content-Disposition: form-data; name=\"é\"\r\nContent-Type: text/plain", "é"),
        ] {
            assert_eq!(of(&part(disposition), "b", &[name]), Some(vec![]), "{disposition}");
            assert_eq!(of(&part(disposition), "b", &["b"]).map(|it| it.len()), Some(1));
        }
    }

    fn part(header: &str) -> String {
        format!("--b\r\n{header}\r\n\r\nx\r\n--b--")
    }

    #[test]
    fn parts_whose_name_servers_read_differently_count_by_their_bytes() {
        const NAMED: &str = "Content-Disposition: form-data; name=\"a\"";
        assert_eq!(of(&part(NAMED), "b", &["a"]), Some(vec![]));
        for header in [
            "X: y",
            "no header",
            "",
            "\r\nname=a",
            "Content-Disposition: form-data",
            "Content-Disposition: form-data; filename=a",
            "Content-Disposition: form-data; name=a;",
            "Content-Disposition: form-data; name",
            "Content-Disposition: form-data; name=",
            "Content-Disposition: form-data; name=\"a",
            "Content-Disposition: form-data; name=\"a\"b",
            "Content-Disposition: form-data; name =a",
            "Content-Disposition: form-data; name= a",
            "Content-Disposition: form-data, name=a",
            "Content-Disposition: attachment; name=a",
            "Content-Disposition : form-data; name=a",
            "Content-Disposition: form-data; name=a b",
            "Content-Disposition: form-data; name=\"_charset_\"",
            "Content-Disposition: form-data; name=\"a\\\"b\"",
            "Content-Disposition: form-data; filename=\"x\\\"; name=q; y=\"; name=a",
            &format!("{NAMED}; name=\"q\""),
            &format!("{NAMED}; Name=q"),
            &format!("{NAMED}; name*=UTF-8''q"),
            &format!("{NAMED}; name*0=q"),
            &format!("{NAMED}; filename*=UTF-8''x"),
            &format!("{NAMED}; x=1; x=2"),
            &format!("{NAMED}\r\ncontent-disposition: form-data; name=\"q\""),
            &format!("{NAMED}\r\n ; name=\"q\""),
            &format!("{NAMED}\r\n\tname=\"q\""),
            &format!("X: y\nContent-Disposition: form-data; name=\"q\"\r\n{NAMED}"),
            &format!("{NAMED}\nContent-Disposition: form-data; name=\"q\""),
            &format!("{NAMED}\rContent-Disposition: form-data; name=\"q\""),
            &format!("{NAMED}\n\nX: y"),
            &format!("{NAMED}\r\nX: \0"),
        ] {
            assert_eq!(of(&part(header), "b", &["a"]), None, "{header:?}");
            assert_eq!(of(&part(header), "b", &[]).map(|it| it.len()), Some(1), "{header:?}");
        }
        assert_eq!(of(&format!("--b\r\n{NAMED}\r\n--b--"), "b", &["a"]), None, "no empty line");
    }

    #[test]
    fn an_ignored_part_hides_nothing_that_a_server_may_read() {
        let field = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"\r\n");
        let (ignored, hidden) = (field("a"), field("q"));
        for body in [
            format!("--b\r\n{ignored}\r\nx\n--b\n{hidden}\r\nevil\r\n--b--"),
            format!("--b\r\n{ignored}\r\n--b\r\n{hidden}\r\nevil\r\n--b--"),
            format!("--b\r\n{ignored}\r\nx\r\n--b\r\n{ignored}\r\ny\r\n--b--"),
        ] {
            assert_eq!(of(&body, "b", &["a"]), None, "{body:?}");
        }
    }
}
