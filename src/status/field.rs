//! A [`CacheStatus`] as a `Cache-Status` field (RFC 9211).

use http::HeaderValue;

use super::{Bypass, CacheStatus, Miss, Outcome, Stale, Stored};
use crate::error::ConfigError;

impl CacheStatus {
    /// The member of a `Cache-Status` list for the cache `name`, already an sf-item (RFC 9211 §2).
    pub(crate) fn field(&self, name: &str) -> Option<HeaderValue> {
        let mut text = name.to_owned();
        text.push_str(match self.outcome {
            // A forwarded request is not a hit, whatever answers it (RFC 9211 §2.1).
            outcome if outcome.is_hit() => "; hit",
            Outcome::Hit | Outcome::Stale(_) => match self.times {
                Some((_, Some(expires_at))) if expires_at <= self.now => "; fwd=stale",
                _ => "; fwd=request",
            },
            Outcome::Revalidated => self.asked.map_or("; fwd=stale", forwarded),
            Outcome::Miss(miss) | Outcome::Coalesced(miss) => forwarded(miss),
            Outcome::Bypass(Bypass::Method) => "; fwd=method",
            Outcome::Bypass(_) => "; fwd=bypass",
            Outcome::OnlyIfCached => "",
        });
        if self.outcome == Outcome::Revalidated {
            text.push_str("; fwd-status=304");
        }
        let is_new = !self.is_from_store() || self.outcome == Outcome::Revalidated;
        if is_new && matches!(self.stored(), Stored::Yes | Stored::Pending) {
            text.push_str("; stored");
        }
        if self.is_coalesced {
            text.push_str("; collapsed");
        }
        if let Some((_, Some(expires_at))) = self.times {
            let (now, end) = (self.now.as_millis() / 1000, expires_at.as_millis() / 1000);
            let (sign, ttl) = if end >= now { ("", end - now) } else { ("-", now - end) };
            // An sf-integer has at most fifteen digits (RFC 9651 §3.3.1).
            text.push_str(&format!("; ttl={sign}{}", ttl.min(999_999_999_999_999)));
        }
        let detail = match (self.outcome, self.stored()) {
            (Outcome::Bypass(reason), _) => Some(reason.name()),
            (Outcome::OnlyIfCached | Outcome::Stale(Stale::OnlyIfCached), _) => {
                Some("only-if-cached")
            }
            (Outcome::Stale(Stale::WhileRevalidate), _) => Some("stale-while-revalidate"),
            (Outcome::Stale(Stale::IfError), _) => Some("stale-if-error"),
            (Outcome::Stale(Stale::MaxStale), _) => Some("max-stale"),
            (Outcome::Miss(Miss::Corrupt) | Outcome::Coalesced(Miss::Corrupt), _) => {
                Some("corrupt")
            }
            (Outcome::Miss(Miss::StoreFailed(_)) | Outcome::Coalesced(Miss::StoreFailed(_)), _) => {
                Some("store-failed")
            }
            (
                Outcome::Miss(_) | Outcome::Coalesced(_) | Outcome::Revalidated,
                Stored::No(refusal),
            ) => Some(refusal.name()),
            _ => None,
        };
        if let Some(detail) = detail {
            text.push_str("; detail=");
            text.push_str(detail);
        }
        HeaderValue::try_from(text).ok()
    }
}

/// Why a request was forwarded, as RFC 9211 §2.2 names it.
fn forwarded(miss: Miss) -> &'static str {
    match miss {
        Miss::Absent | Miss::Corrupt => "; fwd=uri-miss",
        Miss::Expired => "; fwd=stale",
        Miss::Variant => "; fwd=vary-miss",
        Miss::Refresh => "; fwd=request",
        Miss::NotAllowed | Miss::StoreFailed(_) => "; fwd=miss",
    }
}

/// The name of a cache as an sf-item: a token if possible, otherwise a string (RFC 9651 §3.3.3,
/// §3.3.4).
pub(crate) fn cache_name(name: &str) -> Result<String, ConfigError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
    match name.as_bytes() {
        [first, rest @ ..]
            if (first.is_ascii_alphabetic() || *first == b'*')
                && rest.iter().all(|b| token(*b)) =>
        {
            Ok(name.to_owned())
        }
        [_, ..] if name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
            Ok(format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
        }
        _ => Err(ConfigError::new(
            "cache_status_header",
            format!("{name:?} is not a cache name; write printable ASCII, such as \"larder\""),
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;
    use crate::{Key, entry::Head, status::Progress, status::Refusal, time::Timestamp};

    fn head(now: u64, expires: Option<u64>) -> Head {
        let parts = Response::new(()).into_parts().0;
        Head::new(Method::GET, "http://a/", parts, Timestamp::from_millis(now))
            .with_expires_at(expires.map(Timestamp::from_millis))
    }

    #[test]
    fn the_field_says_what_happened() {
        let key = Key::digest("");
        let now = Timestamp::from_millis(10_000);
        let progress = Progress::default();
        let revalidated = |miss, is_coalesced, stored: Stored| {
            let head = head(10_000, Some(40_000));
            CacheStatus::revalidated(miss, key, &head, now, is_coalesced, stored)
        };
        for (status, expected) in [
            (CacheStatus::hit(key, &head(1_000, Some(40_900)), now), "c; hit; ttl=30"),
            (CacheStatus::hit(key, &head(1_000, None), now), "c; hit"),
            (
                CacheStatus::storing(Miss::Absent, key, &head(1_000, Some(6_000)), progress),
                "c; fwd=uri-miss; stored; ttl=5",
            ),
            (
                CacheStatus::refused(Miss::Expired, Refusal::SetCookie, key, now),
                "c; fwd=stale; detail=set-cookie",
            ),
            (
                CacheStatus::stale(Stale::WhileRevalidate, key, &head(1_000, Some(6_000)), now),
                "c; hit; ttl=-4; detail=stale-while-revalidate",
            ),
            (
                CacheStatus::stale(Stale::OnlyIfCached, key, &head(1_000, Some(10_000)), now),
                "c; hit; ttl=0; detail=only-if-cached",
            ),
            (
                CacheStatus::stale(Stale::MaxStale, key, &head(1_000, Some(6_000)), now),
                "c; hit; ttl=-4; detail=max-stale",
            ),
            (
                CacheStatus::stale(Stale::IfError, key, &head(1_000, Some(6_000)), now),
                "c; fwd=stale; ttl=-4; detail=stale-if-error",
            ),
            (
                CacheStatus::stale(Stale::IfError, key, &head(1_000, None), now),
                "c; fwd=request; detail=stale-if-error",
            ),
            (
                revalidated(Miss::Expired, false, Stored::Yes),
                "c; fwd=stale; fwd-status=304; stored; ttl=30",
            ),
            (
                revalidated(Miss::Refresh, true, Stored::Yes),
                "c; fwd=request; fwd-status=304; stored; collapsed; ttl=30",
            ),
            (
                revalidated(Miss::Expired, false, Stored::No(Refusal::Superseded)),
                "c; fwd=stale; fwd-status=304; ttl=30; detail=superseded",
            ),
            (
                CacheStatus::coalesced(
                    Miss::Variant,
                    key,
                    Some(&head(9_000, Some(14_000))),
                    now,
                    Stored::Pending,
                ),
                "c; fwd=vary-miss; stored; collapsed; ttl=4",
            ),
            (
                revalidated(Miss::Expired, false, Stored::No(Refusal::Conflict)),
                "c; fwd=stale; fwd-status=304; ttl=30; detail=conflict",
            ),
            (
                CacheStatus::refused(Miss::Absent, Refusal::Ended, key, now),
                "c; fwd=uri-miss; detail=ended",
            ),
            (
                CacheStatus::coalesced(Miss::Absent, key, None, now, Refusal::Removed),
                "c; fwd=uri-miss; collapsed; detail=removed",
            ),
            (CacheStatus::bypass(Bypass::Method, now), "c; fwd=method; detail=method"),
            (CacheStatus::bypass(Bypass::Range, now), "c; fwd=bypass; detail=range"),
            (CacheStatus::only_if_cached(Some(key), now), "c; detail=only-if-cached"),
        ] {
            assert_eq!(status.field("c").unwrap(), expected);
        }
    }

    #[test]
    fn is_hit_agrees_with_the_field() {
        let key = Key::digest("");
        let now = Timestamp::from_millis(10_000);
        let head = head(1_000, Some(6_000));
        let stale = |why| CacheStatus::stale(why, key, &head, now);
        let revalidated = |is_coalesced| {
            CacheStatus::revalidated(Miss::Expired, key, &head, now, is_coalesced, Stored::Yes)
        };
        for (status, is_hit, is_from_store) in [
            (CacheStatus::hit(key, &head, now), true, true),
            (stale(Stale::WhileRevalidate), true, true),
            (stale(Stale::OnlyIfCached), true, true),
            (stale(Stale::MaxStale), true, true),
            (stale(Stale::IfError), false, true),
            (revalidated(false), false, true),
            (revalidated(true), false, true),
            (CacheStatus::refused(Miss::Absent, Refusal::NoStore, key, now), false, false),
            (
                CacheStatus::coalesced(Miss::Absent, key, Some(&head), now, Stored::Yes),
                false,
                false,
            ),
            (CacheStatus::bypass(Bypass::Method, now), false, false),
            (CacheStatus::only_if_cached(Some(key), now), false, false),
        ] {
            let field = status.field("c").unwrap();
            let says_hit = field.to_str().unwrap().split("; ").any(|parameter| parameter == "hit");
            assert_eq!((status.is_hit(), says_hit), (is_hit, is_hit), "{field:?}");
            assert_eq!(status.is_from_store(), is_from_store, "{field:?}");
        }
    }

    #[test]
    fn names_are_tokens_or_strings() {
        assert_eq!(cache_name("larder.example:80").as_deref(), Ok("larder.example:80"));
        assert_eq!(cache_name("my \"own\"").as_deref(), Ok("\"my \\\"own\\\"\""));
        assert!(cache_name("").is_err() && cache_name("caf\u{e9}").is_err());
    }
}
