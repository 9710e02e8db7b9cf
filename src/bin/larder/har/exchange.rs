//! [`Exchange`]: an entry of an archive as a request and its response, or why it is left out.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, VARY},
};
use larder::{CacheOptions, Expiration, Key, store::StoredBody, time::Timestamp};

use super::{
    Extra,
    read::{Content, Entry, Line},
};

/// A request and its response, for [`Entries::insert`](larder::Entries::insert).
pub(crate) struct Exchange {
    pub(crate) request: Request<()>,
    pub(crate) response: Response<StoredBody>,
    /// When the response arrived.
    pub(crate) at: Timestamp,
    /// The length of its body.
    pub(crate) len: u64,
}

impl Exchange {
    /// Reads an entry at `now`.
    ///
    /// # Errors
    ///
    /// Why the entry cannot be stored. The reason has no URL and no value of a header, which may be
    /// secret.
    pub(crate) fn of(entry: Entry, now: Timestamp, all_statuses: bool) -> Result<Self, String> {
        let Entry { started_date_time, time, request, response, extra } = entry;
        let method = request.method.as_str();
        if method != "GET" && method != "HEAD" {
            return Err("the method is neither GET nor HEAD".into());
        }
        let status = StatusCode::from_u16(response.status)
            .map_err(|_| "there was no response, or it was blocked".to_owned())?;
        if status != StatusCode::OK && !all_statuses && extra.is_none() {
            return Err(format!("the status is {} (--all-statuses stores it)", status.as_u16()));
        }
        let is_http = ["http://", "https://"].iter().any(|scheme| request.url.starts_with(scheme));
        if !is_http {
            return Err("the URL is not one of HTTP".into());
        }
        let is_head = method == "HEAD";
        let (body, is_text) = if is_head {
            (Bytes::new(), false)
        } else {
            body(response.content, response.body_size)?
        };

        let asked = lines(&request.headers, |name| *name != HOST && *name != CONTENT_LENGTH)?;
        let mut headers = lines(&response.headers, |_| true)?;
        if !is_head {
            headers.remove(TRANSFER_ENCODING);
        }
        if extra.is_none() && !is_head {
            // Browsers save what is left after decoding.
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        if extra.is_none() && is_text {
            say_utf8(&mut headers);
        }
        varies_by_what_is_known(&headers, &asked, extra.is_some())?;

        let arrived = millis(&started_date_time)
            .map(|start| start.saturating_add(std::time::Duration::from_millis(took(time))));
        let stored_at = extra.as_ref().and_then(|extra| millis(&extra.stored_at));
        let at = stored_at.or(arrived).unwrap_or(now).min(now);
        let options = extra.map_or(Ok(CacheOptions::new()), |extra| options(extra, now))?;

        let mut made = Request::new(());
        *made.method_mut() = if is_head { Method::HEAD } else { Method::GET };
        *made.uri_mut() = request.url.parse().map_err(|_| "the URL is invalid".to_owned())?;
        *made.headers_mut() = asked;
        made.extensions_mut().insert(options);
        let len = body.len() as u64;
        let mut stored = Response::new(StoredBody::from(body));
        *stored.status_mut() = status;
        *stored.version_mut() = version(&response.http_version);
        *stored.headers_mut() = headers;
        Ok(Self { request: made, response: stored, at, len })
    }
}

/// The bytes of the body, and whether they are text that was decoded to UTF-8.
fn body(content: Content, body_size: Option<f64>) -> Result<(Bytes, bool), String> {
    let Content { size, text, encoding } = content;
    let Some(text) = text else {
        let is_empty = [size, body_size].into_iter().flatten().all(|size| size <= 0.0);
        let missing = || Err("its body is not in the file".to_owned());
        return if is_empty { Ok((Bytes::new(), false)) } else { missing() };
    };
    match encoding.as_deref() {
        None | Some("") => Ok((text.into(), true)),
        Some("base64") => match STANDARD.decode(text) {
            Ok(bytes) => Ok((bytes.into(), false)),
            Err(_) => Err("its body is not valid base64".into()),
        },
        Some(_) => Err("its body has an encoding other than base64".into()),
    }
}

/// The header lines that are valid and that `is_wanted`. Pseudo-header fields of HTTP/2 are none.
fn lines(lines: &[Line], is_wanted: impl Fn(&HeaderName) -> bool) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for Line { name, value } in lines {
        let Ok(name) = HeaderName::try_from(name) else { continue };
        if !is_wanted(&name) {
            continue;
        }
        // Browsers join several lines of one name with line breaks.
        for value in value.split('\n') {
            if let Ok(value) = HeaderValue::try_from(value) {
                let appended = map.try_append(&name, value);
                appended.map_err(|_| "it has too many header lines".to_owned())?;
            }
        }
    }
    Ok(map)
}

/// Changes the charset of decoded text to that in which it is stored now.
fn say_utf8(headers: &mut HeaderMap) {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let lower = value.to_ascii_lowercase();
    if !lower.contains("charset=") || lower.contains("utf-8") || lower.contains("utf8") {
        return;
    }
    let essence = value.split(';').next().unwrap_or_default().trim();
    if let Ok(value) = HeaderValue::try_from(format!("{essence}; charset=utf-8")) {
        headers.insert(CONTENT_TYPE, value);
    }
}

/// Refuses a response that varies by request headers of which the file does not say whether the
/// request had them: they would be taken to be absent, and others would receive the response.
fn varies_by_what_is_known(
    headers: &HeaderMap,
    asked: &HeaderMap,
    is_ours: bool,
) -> Result<(), String> {
    let names = headers.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    let names = names.flat_map(|line| line.split(',')).map(|name| name.trim().to_ascii_lowercase());
    for name in names.filter(|name| !name.is_empty()) {
        // Browsers leave these two out of what they save, unless they are told not to.
        let is_left_out = ["cookie", "authorization"].contains(&&*name);
        if (is_ours || is_left_out) && !asked.contains_key(&name) {
            // What is no name may be anything, a secret too.
            let name = HeaderName::try_from(&name).ok();
            let name = name.as_ref().map_or("an invalid name", HeaderName::as_str);
            return Err(format!("it varies by {name}, which the file does not have"));
        }
    }
    Ok(())
}

/// The settings of an entry that larder has exported.
fn options(extra: Extra, now: Timestamp) -> Result<CacheOptions, String> {
    let Extra { key, expires_at, tags, .. } = extra;
    let key: Key = key.parse().map_err(|_| "its _larder.key is not a key".to_owned())?;
    let expiration = match expires_at.as_deref().map(millis) {
        None => Expiration::Never,
        Some(Some(end)) if end <= now => return Err("it has expired".into()),
        Some(Some(end)) => Expiration::At(end.into()),
        Some(None) => return Err("its _larder.expiresAt is not a time".into()),
    };
    let options = CacheOptions::new().key(key).expire_after(expiration);
    Ok(tags.into_iter().fold(options, |options, tag| options.add_tag(tag)))
}

/// How many milliseconds the exchange took.
fn took(time: Option<f64>) -> u64 {
    // A value that is negative or no number becomes zero.
    time.unwrap_or_default() as u64
}

/// Reads a time such as `2026-11-30T16:02:03.456+01:00`.
fn millis(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(u64::try_from(time.as_millisecond()).ok()?))
}

/// Browsers write `HTTP/2`, `h2` and `http/2.0`.
fn version(text: &str) -> Version {
    match text.to_ascii_lowercase().as_str() {
        "http/1.0" => Version::HTTP_10,
        "h2" | "http/2" | "http/2.0" => Version::HTTP_2,
        "h3" | "http/3" | "http/3.0" => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}
