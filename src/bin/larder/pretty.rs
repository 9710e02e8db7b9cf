//! JSON with line breaks and indentation. Members keep their order, and numbers their spelling.

use serde::de::IgnoredAny;

/// The deepest nesting that is indented. Each line is as long as its depth, so deeper text would
/// take memory by the square of its length.
const DEEPEST: usize = 128;

/// `text` over several lines; `None` if it is not JSON, or is nested too deeply.
pub(crate) fn indented(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut is_in_string, mut is_escaped) = (0_usize, false, false);
    let mut rest = text.chars();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(character) = rest.next() {
        if is_in_string {
            out.push(character);
            is_in_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            continue;
        }
        match character {
            character if character.is_ascii_whitespace() => {}
            '{' | '[' => {
                let next = rest.clone().find(|character| !character.is_ascii_whitespace());
                out.push(character);
                if matches!(next, Some('}' | ']')) {
                    rest.by_ref().find(|character| !character.is_ascii_whitespace());
                    out.extend(next);
                } else {
                    depth += 1;
                    if depth > DEEPEST {
                        return None;
                    }
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            character => {
                is_in_string = character == '"';
                out.push(character);
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_order_and_its_numbers() {
        let given = r#" {"b":[1.10, 12345678901234567890123,{}], "a" : "x, {\"y\\\": [ ]", "c":[ ],"d":null}"#;
        let expected = "{\n  \"b\": [\n    1.10,\n    12345678901234567890123,\n    {}\n  ],\n  \
                        \"a\": \"x, {\\\"y\\\\\\\": [ ]\",\n  \"c\": [],\n  \"d\": null\n}";
        assert_eq!(indented(given).as_deref(), Some(expected));
        assert_eq!(indented("7").as_deref(), Some("7"));
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(indented(&nested(DEEPEST)).is_some());
        assert_eq!(indented(&nested(DEEPEST + 2)), None, "its lines would grow without end");
        for other in ["", "{", "{}{}", "<html>", "{'a':1}"] {
            assert_eq!(indented(other), None, "{other}");
        }
    }
}
