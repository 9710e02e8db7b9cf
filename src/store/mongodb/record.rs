//! The document of an entry: fields for people and indexes, the encoded head, and the body if it is
//! small.
//!
//! Only the head, the body and their checksums are used to serve an entry. `method`, `url`, the
//! dates and other fields repeat what the head says. The checksum `check` covers the entry's key
//! too, so that a copied document is never served under another key.

use bytes::Bytes;
use mongodb::bson::{
    Binary, Bson, DateTime, Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc,
    oid::ObjectId,
    raw::{RawBinaryRef, cstr},
    spec::BinarySubtype,
};

use super::fault::{self, STORE};
use crate::{
    Key,
    entry::Head,
    store::{
        Result,
        server::{Location, Record, checksum, corrupt},
    },
    time::Timestamp,
};

/// The layout of documents and files. Every change of the layout has a new number.
const FORMAT: i32 = 1;

/// The largest document: the servers' limit, with some room for what they add.
pub(super) const MAX_DOCUMENT: usize = (16 << 20) - (16 << 10);

/// The last time that every tool can show, the end of the year 9999. Later times are shown as this
/// one.
const LATEST: u64 = 253_402_300_799_999;

/// The bytes of an `ObjectId`, which names a file.
pub(super) type FileId = [u8; 12];

/// A time as servers and tools know it.
pub(super) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.as_millis().min(LATEST) as i64)
}

/// Creates the document of an entry.
pub(super) fn encode(
    key: &Key,
    version: u64,
    head: &Head,
    location: Location<FileId>,
    body: &[u8],
) -> RawDocumentBuf {
    let bytes = head.encode();
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), key.to_string());
    document.append(cstr!("format"), FORMAT);
    document.append(cstr!("version"), version as i64);
    document.append(cstr!("method"), head.method().as_str());
    document.append(cstr!("url"), head.url());
    document.append(cstr!("status"), i32::from(head.status().as_u16()));
    document.append(cstr!("stored_at"), date(head.stored_at()));
    if let Some(at) = head.expires_at() {
        document.append(cstr!("expires_at"), date(at));
    }
    if let Some(at) = head.keep_until() {
        document.append(cstr!("keep_until"), date(at));
    }
    document.append(cstr!("size"), size(&bytes, head));
    let mut tags = RawArrayBuf::new();
    for tag in head.tags() {
        tags.push(&**tag);
    }
    document.append(cstr!("tags"), tags);
    document.append(cstr!("head"), binary(&bytes));
    match location {
        Location::Inline { checksum } => {
            document.append(cstr!("body"), binary(body));
            document.append(cstr!("crc"), i64::from(checksum));
        }
        Location::Chunks { id, chunk } => {
            document.append(cstr!("file"), ObjectId::from_bytes(id));
            document.append(cstr!("chunk_size"), chunk as i32);
        }
    }
    document.append(cstr!("check"), i64::from(check(key, version, &bytes, location)));
    document
}

/// Creates the update of everything in the document but the body. Also returns the length of the
/// encoded head.
pub(super) fn change(
    key: &Key,
    version: u64,
    head: &Head,
    location: Location<FileId>,
) -> (Document, usize) {
    let bytes = head.encode();
    let len = bytes.len();
    let tags: Vec<&str> = head.tags().iter().map(|tag| &**tag).collect();
    let mut set = doc! {
        "version": version as i64,
        "method": head.method().as_str(),
        "url": head.url(),
        "status": i32::from(head.status().as_u16()),
        "stored_at": date(head.stored_at()),
        "size": size(&bytes, head),
        "tags": tags,
        "check": i64::from(check(key, version, &bytes, location)),
    };
    let mut unset = Document::new();
    for (name, time) in [("expires_at", head.expires_at()), ("keep_until", head.keep_until())] {
        match time {
            Some(time) => set.insert(name, date(time)),
            None => unset.insert(name, ""),
        };
    }
    set.insert("head", Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes }));
    let mut change = doc! { "$set": set };
    if !unset.is_empty() {
        change.insert("$unset", unset);
    }
    (change, len)
}

/// The size of an entry: head and body.
fn size(head_bytes: &[u8], head: &Head) -> i64 {
    i64::try_from(head.body_len().saturating_add(head_bytes.len() as u64)).unwrap_or(i64::MAX)
}

pub(super) fn binary(bytes: &[u8]) -> RawBinaryRef<'_> {
    RawBinaryRef { subtype: BinarySubtype::Generic, bytes }
}

fn check(key: &Key, version: u64, head: &[u8], location: Location<FileId>) -> u32 {
    let (key, version) = (key.as_bytes(), version.to_le_bytes());
    match location {
        Location::Inline { checksum: body } => {
            checksum(&[key, &version, b"i", &body.to_le_bytes(), head])
        }
        Location::Chunks { id, chunk } => {
            checksum(&[key, &version, b"f", &id, &chunk.to_le_bytes(), head])
        }
    }
}

/// Reads the document of `key`, which may lack its body.
pub(super) fn decode(key: &Key, document: RawDocumentBuf) -> Result<Record<FileId>> {
    let corrupt = |what| corrupt(STORE, key, what);
    let bytes = Bytes::from(document.into_bytes());
    let document = RawDocument::from_bytes(&bytes).map_err(|_| corrupt("no fields"))?;
    if document.get_i32("format").ok() != Some(FORMAT) {
        return Err(corrupt("a document of an unknown layout"));
    }
    let shape = |_| corrupt("a document without the fields of an entry");
    let version = document.get_i64("version").map_err(shape)? as u64;
    let head = document.get_binary("head").map_err(shape)?.bytes;
    let number = |name| document.get_i64(name).ok().and_then(|value| u32::try_from(value).ok());
    let body = match document.get_object_id("file") {
        Ok(id) => {
            let chunk = document.get_i32("chunk_size").ok();
            let chunk = chunk.and_then(|chunk| u32::try_from(chunk).ok());
            let chunk = chunk.ok_or_else(|| corrupt("a body with an invalid chunk size"))?;
            Location::Chunks { id: id.bytes(), chunk }
        }
        Err(_) => {
            let checksum = number("crc").ok_or_else(|| corrupt("no body"))?;
            Location::Inline { checksum }
        }
    };
    if number("check") != Some(check(key, version, head, body)) {
        return Err(corrupt("a document that does not match its checksum"));
    }
    let head = Head::decode(bytes.slice_ref(head));
    let head = head.map_err(|error| corrupt("a damaged head").with_source(error))?;
    let inline = match document.get_binary("body") {
        Ok(body) => bytes.slice_ref(body.bytes),
        Err(_) => Bytes::new(),
    };
    Ok(Record { version, head, body, inline })
}

/// Refuses a head that cannot fit into a document, before its body arrives.
pub(super) fn check_head(key: &Key, head: &Head) -> Result<()> {
    // A head takes more memory than its encoding, so only few heads are encoded to find out.
    if head.size() > MAX_DOCUMENT / 2 && head.encode().len() > MAX_DOCUMENT {
        return Err(fault::too_large(key));
    }
    Ok(())
}

/// The file that a document refers to, if any.
pub(super) fn file_of(document: &RawDocument) -> Option<ObjectId> {
    document.get_object_id("file").ok()
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;

    fn key() -> Key {
        Key::from_bytes([7; 32])
    }

    fn head() -> Head {
        let (parts, ()) = Response::builder().header("a", "b").body(()).unwrap().into_parts();
        Head::new(Method::GET, "http://example.com/", parts, Timestamp::from_millis(1))
            .with_expires_at(Some(Timestamp::MAX))
            .with_tags(vec!["a".into()])
    }

    fn file() -> Location<FileId> {
        Location::Chunks { id: [3; 12], chunk: 1_024 }
    }

    #[test]
    fn documents_round_trip() {
        let inline = Location::Inline { checksum: crc32fast::hash(b"body") };
        for (location, body) in [(inline, &b"body"[..]), (file(), b"")] {
            let head = head().seal(4, None);
            let record = decode(&key(), encode(&key(), u64::MAX, &head, location, body));
            let record = record.unwrap();
            assert_eq!((record.version, record.body), (u64::MAX, location));
            assert_eq!((record.head, &record.inline[..]), (head, body));
        }
    }

    #[test]
    fn an_update_writes_what_a_new_document_would_have() {
        let (new, old) = (head().with_expires_at(None).with_tags(vec![]), head());
        let document = |head: &Head, version| {
            Document::try_from(&*encode(&key(), version, head, file(), b"")).unwrap()
        };
        let (change, _) = change(&key(), 9, &new, file());
        let mut changed = document(&old, 8);
        changed.extend(change.get_document("$set").unwrap().clone());
        for name in change.get_document("$unset").unwrap().keys() {
            changed.remove(name);
        }
        assert_eq!(changed, document(&new, 9));
    }

    #[test]
    fn very_late_times_are_shown_as_the_last_one() {
        let document = encode(&key(), 1, &head(), file(), b"");
        let shown = document.get_datetime("keep_until").unwrap();
        assert_eq!(shown.try_to_rfc3339_string().unwrap(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn changes_of_checked_fields_are_noticed() {
        let document = encode(&key(), 8, &head(), file(), b"");
        assert!(decode(&Key::from_bytes([8; 32]), document.clone()).is_err());
        let good = Document::try_from(&*document).unwrap();
        let wrong = [
            ("format", Bson::Int32(2)),
            ("version", Bson::Int64(9)),
            ("version", Bson::Int32(8)),
            ("head", Bson::String("head".into())),
            ("file", Bson::ObjectId(ObjectId::from_bytes([4; 12]))),
            ("file", Bson::Null),
            ("chunk_size", Bson::Int32(0)),
            ("chunk_size", Bson::Int32(-1)),
            ("chunk_size", Bson::Int32(1_025)),
            ("check", Bson::Int64(-1)),
            ("check", Bson::Null),
        ];
        for (name, value) in wrong {
            let mut bad = good.clone();
            bad.insert(name, value.clone());
            let bad = RawDocumentBuf::try_from(&bad).unwrap();
            assert!(decode(&key(), bad).is_err(), "{name}: {value:?}");
            let mut bad = good.clone();
            bad.remove(name);
            let bad = RawDocumentBuf::try_from(&bad).unwrap();
            assert!(decode(&key(), bad).is_err(), "without {name}");
        }
    }
}
