//! `Vary` (RFC 9110 §12.5.5): the request headers that select a response. Both policies apply it.

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE, VARY},
};

use crate::entry::VaryNames;

/// Limits for the names that select a response: their number and their total length. More is a
/// fault or an attack.
const MAX_NAMES: usize = 32;
const MAX_LENGTH: usize = 2048;

/// How a response is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    /// By its URL only.
    Nothing,
    /// By these request headers, sorted and without duplicates.
    Names(VaryNames),
    /// By more than headers (`*`), or by something that is no header name. The response is never
    /// reused.
    Anything,
}

/// How `response` is selected, without the names in `ignored`. `Authorization` and `Cookie` cannot
/// be ignored: if the origin says that it answers each user differently, the cache relies on it.
pub(crate) fn vary(response: &HeaderMap, ignored: &[HeaderName]) -> Vary {
    let mut names = VaryNames::new();
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
    match union(names, &[]) {
        names if is_too_long(&names) => Vary::Anything,
        names => Vary::Names(names),
    }
}

/// The names of both lists, sorted and without duplicates. If both lists together exceed the
/// limits, the result is `names` alone.
///
/// The responses of an origin for one URL may name different headers. Without the union, each
/// variant would replace the other again and again.
pub(crate) fn union(names: VaryNames, known: &[HeaderName]) -> VaryNames {
    let ordered = |mut names: VaryNames| {
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        names
    };
    if known.is_empty() {
        return ordered(names);
    }
    let all = ordered(names.iter().chain(known).cloned().collect());
    if is_too_long(&all) { ordered(names) } else { all }
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
    fn names_are_lower_case_sorted_and_unique() {
        assert_eq!(
            of(&["Origin, accept-ENCODING", " origin ,,"], &[]),
            Vary::Names([header::ACCEPT_ENCODING, header::ORIGIN].into_iter().collect())
        );
        assert_eq!(of(&[], &[]), Vary::Nothing);
        assert_eq!(of(&["", " , "], &[]), Vary::Nothing);
    }

    #[test]
    fn stars_and_invalid_names_prevent_reuse() {
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
    fn credentials_select_even_if_ignored() {
        let ignored = [header::USER_AGENT, AUTHORIZATION];
        assert_eq!(of(&["user-agent"], &ignored), Vary::Nothing);
        assert_eq!(
            of(&["user-agent, authorization"], &ignored),
            Vary::Names([AUTHORIZATION].into_iter().collect())
        );
    }
}
