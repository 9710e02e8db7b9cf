use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn canonical(body: impl AsRef<[u8]>, ignored: &[&str]) -> Option<String> {
    let mut fields = IgnoredFields::default();
    ignored.iter().for_each(|field| fields.add(field).unwrap());
    let document = parse(body.as_ref(), &fields)?;
    let mut text = Vec::new();
    document.each_piece(&mut |piece| text.extend_from_slice(piece));
    assert_eq!(text.len() as u64, document.len(), "the length is part of the key");
    Some(String::from_utf8(text).unwrap())
}

#[test]
fn objects_are_sorted_at_every_depth_and_arrays_keep_their_order() {
    for (body, expected) in [
        (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        (
            r#" { "b" : [ { "d" : 1 , "c" : {} } , [ ] ] , "a" : null } "#,
            r#"{"a":null,"b":[{"c":{},"d":1},[]]}"#,
        ),
        (
            r#"{"c":{"b":{"z":1,"y":2},"a":{"z":1,"y":2}},"b":0}"#,
            r#"{"b":0,"c":{"a":{"y":2,"z":1},"b":{"y":2,"z":1}}}"#,
        ),
        (r#"[3,1,2]"#, r#"[3,1,2]"#),
        (r#"[{"b":1,"a":1},{"d":1,"c":1}]"#, r#"[{"a":1,"b":1},{"c":1,"d":1}]"#),
        ("[true,\r\n\tfalse,null]", "[true,false,null]"),
        ("null", "null"),
        (" \"a\" ", "\"a\""),
        ("{}", "{}"),
        ("[]", "[]"),
    ] {
        assert_eq!(canonical(body, &[]).as_deref(), Some(expected), "{body}");
    }
}

#[test]
fn strings_have_one_spelling() {
    for (body, expected) in [
        (r#""\u0061\/\u00e9""#, "\"a/é\""),
        (r#""\ud83d\ude00""#, "\"😀\""),
        (r#""\n\u0001\u001F\"\\""#, r#""\u000a\u0001\u001f\"\\""#),
        (r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        ("\"\u{7f}\u{2028}\"", "\"\u{7f}\u{2028}\""),
    ] {
        assert_eq!(canonical(body, &[]).as_deref(), Some(expected), "{body}");
    }
}

#[test]
fn numbers_and_members_of_one_name_stay_as_they_are() {
    let huge = "9".repeat(10_000);
    for body in [
        "1.0",
        "1",
        "-0",
        "0",
        "1E5",
        "1e5",
        "1e+5",
        "100000",
        "1e999999999",
        "18446744073709551617",
        &huge,
        r#"{"a":1,"a":2}"#,
        r#"{"a":2,"a":1}"#,
        r#"{"a":1}"#,
    ] {
        assert_eq!(canonical(body, &[]).as_deref(), Some(body));
    }
    let sorted = canonical(r#"{"b":0,"a":2,"b":1,"a":1}"#, &[]);
    assert_eq!(sorted.as_deref(), Some(r#"{"a":2,"a":1,"b":0,"b":1}"#));
}

#[test]
fn what_is_no_json_text_has_no_canonical_form() {
    for body in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\"}",
        "1 2",
        "{}x",
        "{} {}",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "-",
        "NaN",
        "nul",
        "nullx",
        "True",
        "\"a",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0061\"",
        "\"\\udc00\"",
        "\"\\ude00\\ud83d\"",
        "\u{feff}{}",
        "// c\n1",
        "a=1",
        "\u{a0}1",
        "\u{c}1",
        "1\0",
    ] {
        assert_eq!(canonical(body, &[]), None, "{body:?}");
    }
    for bytes in [&b"\"\xff\""[..], b"\xff", b"{\"\xc3\":1}", b"\"\xed\xa0\x80\"", b"\xfe\xff\0{"] {
        assert_eq!(canonical(bytes, &[]), None, "{bytes:?}");
    }
}

#[test]
fn deep_nesting_counts_by_its_bytes() {
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(canonical(nested(MAX_DEPTH), &[]), Some(nested(MAX_DEPTH)));
    assert_eq!(canonical(nested(MAX_DEPTH + 1), &[]), None);
    for depth in [10_000, 1_000_000] {
        assert_eq!(canonical(nested(depth), &[]), None);
        assert_eq!(canonical("[".repeat(depth), &[]), None);
        assert_eq!(canonical("{\"a\":".repeat(depth), &[]), None);
    }
}

#[test]
fn large_hostile_documents_are_read_in_linear_time() {
    const LEN: usize = 2 << 20;
    let unsorted = format!("[{}]", [r#"{"b":1,"a":1}"#].repeat(LEN / 14).join(","));
    let same_names = format!("{{{}}}", ["\"b\":1,\"a\":1"].repeat(LEN / 12).join(","));
    let prefix = "x".repeat(1_000);
    let long_names: Vec<_> =
        (0..LEN / 1_010).rev().map(|number| format!("\"{prefix}{number:05}\":1")).collect();
    let long_names = format!("{{{}}}", long_names.join(","));
    let empty = format!("[{}]", ["{}"].repeat(LEN / 3).join(","));
    let numbers = format!("[{}]", ["0"].repeat(LEN / 2).join(","));
    let escapes = format!("\"{}\"", "\\u0061".repeat(LEN / 6));
    for body in [unsorted, same_names, long_names, empty, numbers, escapes] {
        let begun = Instant::now();
        let form = canonical(&body, &["/b/b/0/b", "/0", "q"]).unwrap();
        assert!(form.len() <= body.len());
        // Quadratic time would take much longer, also on a slow machine.
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

#[test]
fn ignored_values_are_left_out() {
    for (ignored, body, expected) in [
        (&["/auth/token"][..], r#"{"auth":{"token":"s","user":1}}"#, r#"{"auth":{"user":1}}"#),
        (&["/auth/token"], r#"{"auth":{"token":{"x":[1]}}}"#, r#"{"auth":{}}"#),
        (&["/auth/token"], r#"{"auth":["token"],"token":1}"#, r#"{"auth":["token"],"token":1}"#),
        (&["/auth/token"], r#"{"AUTH":{"token":1}}"#, r#"{"AUTH":{"token":1}}"#),
        (
            &["/auth"],
            r#"{"z":1,"auth":{"b":1,"a":2},"y":{"b":1,"a":2}}"#,
            r#"{"y":{"a":2,"b":1},"z":1}"#,
        ),
        (&["/a"], r#"{"\u0061":1,"b":2}"#, r#"{"b":2}"#),
        (&["/a/b"], r#"[{"a":{"b":1}}]"#, r#"[{"a":{"b":1}}]"#),
        (&["/x/a"], r#"{"x":{"a":1},"y":{"a":1},"x":{"a":2}}"#, r#"{"x":{},"x":{},"y":{"a":1}}"#),
        (&["/a", "/b"], r#"{"a":1,"b":2}"#, "{}"),
        (&["/1/id"], r#"[{"id":1},{"id":2},{"id":3}]"#, r#"[{"id":1},{},{"id":3}]"#),
        (&["/0", "/2"], "[1,2,3,4]", "[2,4]"),
        (&["/0/0"], "[[1,2],[1,2]]", "[[2],[1,2]]"),
        (&["/a~1b", "/~0"], r#"{"a/b":1,"~":2,"c":3}"#, r#"{"c":3}"#),
        (&["/"], r#"{"":1,"a":2}"#, r#"{"a":2}"#),
        (&["password"], r#"{"PassWord":1,"a":{"password":2}}"#, r#"{"a":{"password":2}}"#),
        (&["password"], r#"[{"password":2}]"#, r#"[{"password":2}]"#),
        (&["password", "/a/b"], r#""password""#, r#""password""#),
    ] {
        assert_eq!(canonical(body, ignored).as_deref(), Some(expected), "{ignored:?} {body}");
    }
    assert_eq!(canonical(r#"{"password":"s}"#, &["password"]), None);
}

#[test]
fn documents_that_servers_read_differently_count_by_their_bytes() {
    for body in [
        r#"{"csrf":1,"q":1,"csrf":2}"#,
        r#"{"csrf":1,"q":1,"CSRF":2}"#,
        r#"{"csrf":1,"c\u0073rf":2}"#,
        r#"{"a":{"b":1,"b":2}}"#,
    ] {
        assert_eq!(canonical(body, &["csrf", "/a/b"]), None, "{body}");
        assert!(canonical(body, &[]).is_some(), "{body}");
    }
    for body in [
        r#"{"__proto__":{"q":1}}"#,
        r#"{"csrf":{"a":[{"\u005f_proto__":1}]}}"#,
        r#"{"csrf":1,"q\u0000":1}"#,
        r#"[{"csrf\u0000":1}]"#,
    ] {
        assert_eq!(canonical(body, &["csrf"]), None, "{body}");
        assert_eq!(canonical(body, &[]), None, "{body}");
    }
}

#[test]
fn members_whose_names_differ_in_case_keep_their_order() {
    for (one, other) in [
        (r#"{"Q":1,"q":2}"#, r#"{"q":2,"Q":1}"#),
        (r#"{"é":1,"É":2}"#, r#"{"É":2,"é":1}"#),
        ("{\"s\":1,\"\u{17f}\":2}", "{\"\u{17f}\":2,\"s\":1}"),
        ("{\"K\":1,\"\u{212a}\":2}", "{\"\u{212a}\":2,\"K\":1}"),
        ("{\"ß\":1,\"ẞ\":2}", "{\"ẞ\":2,\"ß\":1}"),
        ("{\"\u{e9}\":1,\"e\u{301}\":2}", "{\"e\u{301}\":2,\"\u{e9}\":1}"),
    ] {
        assert_ne!(canonical(one, &[]), canonical(other, &[]), "{one}");
        let with = |object: &str| canonical(object.replace('}', ",\"r\":0}"), &[]);
        assert_ne!(with(one), with(other), "{one}");
    }
    assert_eq!(canonical(r#"{"B":1,"a":2,"b":3}"#, &[]).unwrap(), r#"{"a":2,"B":1,"b":3}"#);
}

/// A JSON value, with numbers as they are written and members in the order of sending.
#[derive(Clone, Debug)]
enum Value {
    Word(&'static str),
    Text(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

fn values() -> impl Strategy<Value = Value> {
    let text = "[ab\"\\\\/\n\u{1}é😀]{0,2}";
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "1", "1.0", "-0", "1e5", "1E5"])
            .prop_map(Value::Word),
        text.prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(("[ab\"é]{0,1}", inner), 0..5).prop_map(Value::Object),
        ]
    })
}

impl Value {
    /// The same value with its members sorted: two values are equal if these are.
    fn sorted(&self) -> String {
        match self {
            Self::Word(word) => (*word).to_owned(),
            Self::Text(text) => format!("{text:?}"),
            Self::Array(values) => {
                format!("[{}]", values.iter().map(Self::sorted).collect::<Vec<_>>().join(" "))
            }
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| name.clone());
                let members = members.iter().map(|(name, it)| format!("{name:?} {}", it.sorted()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Writes the value in a spelling that `draw` chooses: spaces, escapes, the order of members.
    fn write(&self, draw: &mut impl FnMut(usize) -> usize, out: &mut String) {
        out.push_str(["", " ", "\n\t"][draw(3)]);
        match self {
            Self::Word(word) => out.push_str(word),
            Self::Text(text) => spell(text, draw, out),
            Self::Array(values) => {
                out.push('[');
                for (position, value) in values.iter().enumerate() {
                    out.push_str(if position > 0 { "," } else { "" });
                    value.write(draw, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                for position in 1..members.len() {
                    // Members of one name keep their order.
                    if members[position - 1].0 != members[position].0 && draw(2) == 0 {
                        members.swap(position - 1, position);
                    }
                }
                out.push('{');
                for (position, (name, value)) in members.into_iter().enumerate() {
                    out.push_str(if position > 0 { "," } else { "" });
                    spell(name, draw, out);
                    out.push_str([":", " : "][draw(2)]);
                    value.write(draw, out);
                }
                out.push('}');
            }
        }
        out.push_str(["", " "][draw(2)]);
    }
}

fn spell(text: &str, draw: &mut impl FnMut(usize) -> usize, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let must_escape = matches!(character, '"' | '\\' | '\0'..='\x1f');
        if must_escape || draw(2) == 0 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let digits = format!("\\u{unit:04x}");
                out.push_str(&if draw(2) == 0 {
                    digits.to_uppercase().replace('U', "u")
                } else {
                    digits
                });
            }
        } else {
            out.push(character);
        }
    }
    out.push('"');
}

fn spelled(value: &Value, choices: &[u8]) -> String {
    let mut choices = choices.iter().cycle();
    let mut out = String::new();
    value.write(&mut |below| usize::from(*choices.next().unwrap()) % below, &mut out);
    out
}

proptest! {
    #[test]
    fn equal_values_have_equal_forms(
        value in values(),
        one in prop::collection::vec(any::<u8>(), 1..40),
        other in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let one = canonical(spelled(&value, &one), &[]);
        prop_assert!(one.is_some());
        prop_assert_eq!(&one, &canonical(spelled(&value, &other), &[]));
        prop_assert_eq!(&one, &canonical(one.as_deref().unwrap(), &[]), "it is its own form");
    }

    #[test]
    fn different_values_have_different_forms(
        one in values(),
        other in values(),
        choices in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let is_equal = one.sorted() == other.sorted();
        let (one, other) = (spelled(&one, &choices), spelled(&other, &choices));
        prop_assert_eq!(canonical(one, &[]) == canonical(other, &[]), is_equal);
    }

    /// Small values, of which many pairs are equal.
    #[test]
    fn objects_are_equal_only_if_their_members_are(
        one in prop::collection::vec(("[ab]", 0..2_u8), 0..4),
        other in prop::collection::vec(("[ab]", 0..2_u8), 0..4),
    ) {
        let object = |members: &[(String, u8)]| {
            let members = members.iter().map(|(name, value)| format!("{name:?}:{value}"));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        };
        let sorted = |members: &[(String, u8)]| {
            let mut members = members.to_vec();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members
        };
        let is_equal = sorted(&one) == sorted(&other);
        prop_assert_eq!(canonical(object(&one), &[]) == canonical(object(&other), &[]), is_equal);
    }

    #[test]
    fn no_bytes_panic(
        body in prop_oneof![
            "[\\[\\]{}:,\"\\\\u0-9aeE+.d8\n -]{0,60}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..60),
        ],
    ) {
        canonical(body, &["/0/a", "a"]);
    }
}
