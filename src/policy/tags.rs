//! The tags of a response. They come from the options of its request, from a closure, and from its
//! header lines. A response that cannot have all of its tags is refused: a removal by a missing tag
//! would not remove it.

use std::{borrow::Cow, collections::HashSet, fmt, sync::Arc};

use http::{HeaderMap, HeaderName, Response, request, response};

use crate::{entry::Head, key::OWN_TAG_PREFIX, options::CacheOptions, status::Refusal};

/// The most tags of an entry, without the cache's own tags.
const MOST: usize = 1_000;
/// The longest tag, in bytes.
const LONGEST: usize = 1_024;
/// The total length of all tags, in bytes.
const ALL: usize = 16 * 1_024;

/// The user's closure, which returns tags by request and response.
pub(crate) type TagFn =
    Arc<dyn Fn(&request::Parts, &response::Parts) -> Vec<Box<str>> + Send + Sync>;

/// One tag or several, as the closure of [`CacheLayer::tag_with`](crate::CacheLayer::tag_with)
/// returns them: a string, an `Option`, an array or a `Vec`, and these in one another.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tag or a list of tags",
    note = "return a string, an `Option`, an array or a `Vec`; collect an iterator into a `Vec`"
)]
pub trait IntoTags: Sealed {}

impl<T: Sealed> IntoTags for T {}

/// Keeps the trait closed, so that other types can be added.
pub trait Sealed {
    /// Adds the tags to `tags`.
    fn add_to(self, tags: &mut Vec<Box<str>>);
}

macro_rules! one_tag {
    ($($text:ty),*) => {$(
        impl Sealed for $text {
            fn add_to(self, tags: &mut Vec<Box<str>>) {
                tags.push(self.into());
            }
        }
    )*};
}

one_tag!(&str, String, Box<str>, Cow<'_, str>);

impl<T: Sealed> Sealed for Option<T> {
    fn add_to(self, tags: &mut Vec<Box<str>>) {
        self.into_iter().for_each(|tag| tag.add_to(tags));
    }
}

impl<T: Sealed> Sealed for Vec<T> {
    fn add_to(self, tags: &mut Vec<Box<str>>) {
        self.into_iter().for_each(|tag| tag.add_to(tags));
    }
}

impl<T: Sealed, const N: usize> Sealed for [T; N] {
    fn add_to(self, tags: &mut Vec<Box<str>>) {
        self.into_iter().for_each(|tag| tag.add_to(tags));
    }
}

/// The layer's sources of tags, besides the options of a request.
#[derive(Clone, Default)]
pub(crate) struct TagRules {
    pub(crate) with: Option<TagFn>,
    /// The response headers that name tags.
    pub(crate) headers: Vec<HeaderName>,
}

impl TagRules {
    /// The tags of a response.
    pub(crate) fn choose(
        &self,
        options: &CacheOptions,
        request: &request::Parts,
        response: &response::Parts,
    ) -> Result<Vec<Box<str>>, Refusal> {
        let made = self.made(request, response);
        let named = self.named(&response.headers);
        collect(options.tags.iter().chain(&made).map(|tag| Ok(&**tag)).chain(named))
    }

    /// The tags of a stored response after a 304 has turned it into `response`. Tags from the
    /// closure and the header lines are made anew. Tags from the options of requests stay.
    pub(crate) fn freshen(
        &self,
        options: &CacheOptions,
        request: &request::Parts,
        old: &Head,
        response: &response::Parts,
    ) -> Result<Vec<Box<str>>, Refusal> {
        let mut kept = old.tags().to_vec();
        if self.with.is_some() || !self.headers.is_empty() {
            let (mut before, ()) = Response::new(()).into_parts();
            before.status = old.status();
            before.version = old.version();
            before.headers = old.headers().clone();
            // Different rules may have stored the response, and these rules may refuse its tags. In
            // that case all of its tags stay.
            let said = self.choose(&CacheOptions::new(), request, &before).unwrap_or_default();
            let said: HashSet<&str> = said.iter().map(AsRef::as_ref).collect();
            kept.retain(|tag| !said.contains(&**tag));
        }
        let (own, kept): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|tag| tag.starts_with(OWN_TAG_PREFIX));
        let made = self.made(request, response);
        let named = self.named(&response.headers);
        let all = kept.iter().chain(&options.tags).chain(&made);
        let mut tags = collect(all.map(|tag| Ok(&**tag)).chain(named))?;
        tags.extend(own);
        Ok(tags)
    }

    fn made(&self, request: &request::Parts, response: &response::Parts) -> Vec<Box<str>> {
        self.with.as_ref().map_or_else(Vec::new, |with| with(request, response))
    }

    /// The tags that `headers` name. `Surrogate-Key` separates tags by spaces, `Cache-Tag` by
    /// commas. Both separators are accepted in both fields.
    fn named<'a>(
        &self,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = Result<&'a str, Refusal>> + use<'a, '_> {
        let lines = self.headers.iter().flat_map(|name| headers.get_all(name));
        lines.flat_map(|line| {
            let text = str::from_utf8(line.as_bytes()).map_err(|_| Refusal::Tags);
            let (tags, failed) = match text {
                Ok(text) => (text, None),
                Err(refusal) => ("", Some(Err(refusal))),
            };
            failed.into_iter().chain(tags.split([',', ' ', '\t']).map(Ok))
        })
    }
}

/// The tags in order and without duplicates. Empty tags and the cache's own tags are left out.
fn collect<'a>(
    tags: impl Iterator<Item = Result<&'a str, Refusal>>,
) -> Result<Vec<Box<str>>, Refusal> {
    let (mut seen, mut kept, mut len) = (HashSet::new(), Vec::new(), 0);
    for tag in tags {
        let tag = tag?;
        if tag.is_empty() || tag.starts_with(OWN_TAG_PREFIX) || !seen.insert(tag) {
            continue;
        }
        len += tag.len();
        if tag.len() > LONGEST || len > ALL || kept.len() == MOST {
            return Err(Refusal::Tags);
        }
        kept.push(tag.into());
    }
    Ok(kept)
}

impl fmt::Debug for TagRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagRules")
            .field("with", &self.with.is_some())
            .field("headers", &self.headers)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Request};

    use super::*;
    use crate::time::Timestamp;

    const NONE: CacheOptions = CacheOptions::new();

    fn request() -> request::Parts {
        Request::get("http://a/").body(()).unwrap().into_parts().0
    }

    fn response(lines: &[&str]) -> response::Parts {
        let mut parts = Response::new(()).into_parts().0;
        for line in lines {
            parts
                .headers
                .append("surrogate-key", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        parts
    }

    fn by_header() -> TagRules {
        TagRules { with: None, headers: vec![HeaderName::from_static("surrogate-key")] }
    }

    fn named(lines: &[&str]) -> Result<Vec<Box<str>>, Refusal> {
        by_header().choose(&NONE, &request(), &response(lines))
    }

    fn boxed(tags: &[&str]) -> Vec<Box<str>> {
        tags.iter().map(|tag| (*tag).into()).collect()
    }

    #[test]
    fn lines_are_split_at_spaces_and_commas() {
        assert_eq!(
            named(&["a b", "c,d , e,,\tf", "", " , "]),
            Ok(boxed(&["a", "b", "c", "d", "e", "f"]))
        );
        assert_eq!(
            named(&["A a A", "ü"]),
            Ok(boxed(&["A", "a", "ü"])),
            "without duplicates; case matters"
        );
        assert_eq!(named(&["larder:url:1 larder:x larder"]), Ok(boxed(&["larder"])));
    }

    #[test]
    fn all_sources_add_up() {
        let with: TagFn = Arc::new(|_, _| boxed(&["b", "c", "", "larder:x"]));
        let rules = TagRules { with: Some(with), ..by_header() };
        let options = CacheOptions::new().add_tag("a").add_tag("b").add_tag("").add_tag("a");
        let tags = rules.choose(&options, &request(), &response(&["c d a"]));
        assert_eq!(tags, Ok(boxed(&["a", "b", "c", "d"])));
    }

    #[test]
    fn tags_beyond_the_limits_are_refused() {
        let many = |count: usize| (0..count).map(|n| format!("{n:04} ")).collect::<String>();
        assert_eq!(
            named(&[&many(1_000), &many(1_000)]).unwrap().len(),
            1_000,
            "duplicates count once"
        );
        assert_eq!(named(&[&many(1_001)]), Err(Refusal::Tags));
        let long = |len: usize, letter: &str| letter.repeat(len);
        assert_eq!(named(&[&long(1_024, "a")]).unwrap()[0].len(), 1_024);
        assert_eq!(named(&[&long(1_025, "a")]), Err(Refusal::Tags));
        let lines: Vec<_> =
            (b'a'..b'q').map(|it| long(1_024, str::from_utf8(&[it]).unwrap())).collect();
        let mut lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
        assert_eq!(named(&lines).unwrap().len(), 16);
        lines.push("z");
        assert_eq!(named(&lines), Err(Refusal::Tags));
        let options = (0..=1_000).fold(CacheOptions::new(), |it, n| it.add_tag(n.to_string()));
        assert_eq!(
            TagRules::default().choose(&options, &request(), &response(&[])),
            Err(Refusal::Tags)
        );
    }

    #[test]
    fn tags_must_be_text() {
        let mut response = response(&["a"]);
        response.headers.append("surrogate-key", HeaderValue::from_bytes(b"b\xff").unwrap());
        assert_eq!(by_header().choose(&NONE, &request(), &response), Err(Refusal::Tags));
        assert_eq!(TagRules::default().choose(&NONE, &request(), &response), Ok(Vec::new()));
    }

    #[test]
    fn a_304_replaces_response_tags_and_keeps_request_tags() {
        let with: TagFn = Arc::new(|_, response| {
            boxed(&[if response.headers["surrogate-key"] == "old both" { "was" } else { "is" }])
        });
        let rules = TagRules { with: Some(with), ..by_header() };
        let tags = boxed(&["asked", "was", "old", "both", "larder:url:1"]);
        let old = Head::new(Method::GET, "http://a/", response(&["old both"]), Timestamp::MIN)
            .with_tags(tags.clone());
        let options = CacheOptions::new().add_tag("more").add_tag("larder:url:2");
        let freshened = |rules: &TagRules, line: &str| {
            rules.freshen(&options, &request(), &old, &response(&[line])).unwrap()
        };
        let expected = boxed(&["asked", "more", "is", "new", "both", "larder:url:1"]);
        assert_eq!(freshened(&rules, "new both"), expected);
        let same = boxed(&["asked", "more", "was", "old", "both", "larder:url:1"]);
        assert_eq!(freshened(&rules, "old both"), same);
        // Without rules, the source of a tag is unknown.
        let all = boxed(&["asked", "was", "old", "both", "more", "larder:url:1"]);
        assert_eq!(freshened(&TagRules::default(), "new both"), all);
    }
}
