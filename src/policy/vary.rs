//! `Vary` (RFC 9110 §12.5.5), which both policies honour: the request headers that select a response.

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE, VARY},
};

/// More names than this in one list of variants, or longer ones in all, are no selection but an attack, or a fault.
const MAX_NAMES: usize = 32;
const MAX_LENGTH: usize = 2048;

/// What a response says of its selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    /// By nothing but the URL.
    Nothing,
    /// By these request headers; in order, each once.
    Names(Vec<HeaderName>),
    /// By more than headers (`*`), or by what is no header name: not to be reused.
    Anything,
}

/// What `response` says of its selection, without the names in `ignored`. `Authorization` and `Cookie` cannot be
/// ignored here: an origin that says it answers each user differently is believed.
pub(crate) fn vary(response: &HeaderMap, ignored: &[HeaderName]) -> Vary {
    let mut names = Vec::new();
    for line in response.get_all(VARY) {
        for member in line.as_bytes().split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            match HeaderName::from_bytes(member) {
                Ok(name) if member != b"*" => {
                    if name == AUTHORIZATION || name == COOKIE || !ignored.contains(&name) {
                        names.push(name);
                    }
                }
                _ => return Vary::Anything,
            }
        }
    }
    if names.is_empty() {
        return Vary::Nothing;
    }
    match union(&names, &[]) {
        names if is_too_long(&names) => Vary::Anything,
        names => Vary::Names(names),
    }
}

/// The names of both lists, in order, each once; `names` alone where both are too many together.
///
/// An origin whose responses for one URL name different headers would else drop one variant for the other forever.
pub(crate) fn union(names: &[HeaderName], known: &[HeaderName]) -> Vec<HeaderName> {
    let mut all = [names, known].concat();
    all.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    all.dedup();
    if is_too_long(&all) && !known.is_empty() { union(names, &[]) } else { all }
}

fn is_too_long(names: &[HeaderName]) -> bool {
    let length: usize = names.iter().map(|name| name.as_str().len()).sum();
    names.len() > MAX_NAMES || length > MAX_LENGTH
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn of(lines: &[&'static str], ignored: &[HeaderName]) -> Vary {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(VARY, HeaderValue::from_static(line));
        }
        vary(&headers, ignored)
    }

    #[test]
    fn names_are_lower_case_sorted_and_single() {
        assert_eq!(
            of(&["Origin, accept-ENCODING", " origin ,,"], &[]),
            Vary::Names(vec![header::ACCEPT_ENCODING, header::ORIGIN])
        );
        assert_eq!(of(&[], &[]), Vary::Nothing);
        assert_eq!(of(&["", " , "], &[]), Vary::Nothing);
    }

    #[test]
    fn a_star_anywhere_or_no_name_at_all_is_never_reused() {
        assert_eq!(of(&["*"], &[]), Vary::Anything);
        assert_eq!(of(&["origin", "accept, *"], &[]), Vary::Anything);
        assert_eq!(of(&["not a name"], &[]), Vary::Anything);
        let many: Vec<&'static str> = (0..40).map(|n| &*format!("x-{n}").leak()).collect();
        assert_eq!(of(&many, &[]), Vary::Anything);
        let long: Vec<&'static str> =
            (0..3).map(|n| &*format!("x-{n}-{}", "y".repeat(1000)).leak()).collect();
        assert_eq!(of(&long, &[]), Vary::Anything);
    }

    #[test]
    fn ignored_names_do_not_select_but_credentials_always_do() {
        let ignored = [header::USER_AGENT, AUTHORIZATION];
        assert_eq!(of(&["user-agent"], &ignored), Vary::Nothing);
        assert_eq!(of(&["user-agent, authorization"], &ignored), Vary::Names(vec![AUTHORIZATION]));
    }
}
