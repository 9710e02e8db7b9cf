//! The names of the keys on the server. All of them begin with `namespace{`, and the text in the
//! braces selects a cluster's node: everything of one entry is on one node.

use sha2::{Digest, Sha256};

use crate::{Key, store::server::parse_key};

/// How many expiry indexes there are, so that no single node of a cluster handles every write.
pub(super) const EXPIRY_SHARDS: u8 = 16;

/// The digest of a tag: names stay short, whatever a tag contains.
pub(super) type TagDigest = [u8; 16];

/// The number of a body, as 16 hexadecimal digits.
pub(super) type Generation = [u8; 16];

/// The namespace, and the names in it.
#[derive(Clone, Debug)]
pub(super) struct Names {
    namespace: String,
}

/// What a name of the namespace stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Entry(Key),
    /// A body of the entry with this key.
    Body(Key),
    /// A body that is being written.
    Staged,
    Expiry,
    Tag,
}

impl Names {
    pub(super) fn new(namespace: String) -> Self {
        Self { namespace }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn entry(&self, key: &Key) -> Vec<u8> {
        format!("{}{{{key}}}", self.namespace).into_bytes()
    }

    pub(super) fn body(&self, key: &Key, generation: &Generation) -> Vec<u8> {
        [&self.entry(key), &b"."[..], generation].concat()
    }

    pub(super) fn staged(&self, key: &Key, generation: &Generation) -> Vec<u8> {
        [&self.entry(key), &b"~"[..], generation].concat()
    }

    /// The expiry index for entries with `key`.
    pub(super) fn expiry_of(&self, key: &Key) -> Vec<u8> {
        self.expiry(key.as_bytes()[0] % EXPIRY_SHARDS)
    }

    pub(super) fn expiry(&self, shard: u8) -> Vec<u8> {
        format!("{}{{expiry.{shard:x}}}", self.namespace).into_bytes()
    }

    pub(super) fn tag(&self, tag: &TagDigest) -> Vec<u8> {
        format!("{}{{tag.{:032x}}}", self.namespace, u128::from_be_bytes(*tag)).into_bytes()
    }

    /// The glob that matches the names of entries, and few others.
    pub(super) fn entries_pattern(&self) -> Vec<u8> {
        let mut pattern = self.escaped();
        pattern.push(b'{');
        pattern.extend([b'?'; 64]);
        pattern.push(b'}');
        pattern
    }

    /// The glob that matches every name of the namespace.
    pub(super) fn pattern(&self) -> Vec<u8> {
        let mut pattern = self.escaped();
        pattern.extend(b"{*");
        pattern
    }

    fn escaped(&self) -> Vec<u8> {
        let mut escaped = Vec::with_capacity(self.namespace.len() + 8);
        for byte in self.namespace.bytes() {
            if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
                escaped.push(b'\\');
            }
            escaped.push(byte);
        }
        escaped
    }

    /// Returns what `name` stands for, or `None` if it is not ours.
    pub(super) fn parse(&self, name: &[u8]) -> Option<Name> {
        let rest = name.strip_prefix(self.namespace.as_bytes())?.strip_prefix(b"{")?;
        let end = rest.iter().position(|&byte| byte == b'}')?;
        let (tag, rest) = (str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]);
        if tag.starts_with("expiry.") {
            return rest.is_empty().then_some(Name::Expiry);
        }
        if tag.starts_with("tag.") {
            return rest.is_empty().then_some(Name::Tag);
        }
        let key = parse_key(tag)?;
        match rest {
            [] => Some(Name::Entry(key)),
            [b'.', generation @ ..] if generation.len() == 16 => Some(Name::Body(key)),
            [b'~', generation @ ..] if generation.len() == 16 => Some(Name::Staged),
            _ => None,
        }
    }
}

pub(super) fn digest(tag: &str) -> TagDigest {
    let digest = Sha256::digest(tag);
    std::array::from_fn(|index| digest[index])
}

/// The digests of `tags`, each once.
pub(super) fn digests(tags: &[Box<str>]) -> Vec<TagDigest> {
    let mut digests: Vec<_> = tags.iter().map(|tag| digest(tag)).collect();
    digests.sort_unstable();
    digests.dedup();
    digests
}

pub(super) fn generation(number: u64) -> Generation {
    let digits = format!("{number:016x}");
    std::array::from_fn(|index| digits.as_bytes()[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    /// Never to be changed without a new version of the record: other machines use the same names.
    #[test]
    fn golden_names() {
        let names = Names::new("larder:".into());
        let key = Key::from_bytes([0xab; 32]);
        let entry = format!("larder:{{{}}}", "ab".repeat(32));
        assert_eq!(text(names.entry(&key)), entry);
        let number = generation(0x1f);
        assert_eq!(text(names.body(&key, &number)), format!("{entry}.000000000000001f"));
        assert_eq!(text(names.staged(&key, &number)), format!("{entry}~000000000000001f"));
        assert_eq!(text(names.expiry_of(&key)), "larder:{expiry.b}");
        assert_eq!(text(names.tag(&digest("a"))), "larder:{tag.ca978112ca1bbdcafac231b39a23dc4d}");
    }

    #[test]
    fn names_round_trip() {
        let names = Names::new("a*[b]:".into());
        let key = Key::digest("key");
        let number = generation(u64::MAX);
        assert_eq!(names.parse(&names.entry(&key)), Some(Name::Entry(key)));
        assert_eq!(names.parse(&names.body(&key, &number)), Some(Name::Body(key)));
        assert_eq!(names.parse(&names.staged(&key, &number)), Some(Name::Staged));
        assert_eq!(names.parse(&names.expiry(3)), Some(Name::Expiry));
        assert_eq!(names.parse(&names.tag(&digest(""))), Some(Name::Tag));
        for foreign in
            ["", "a*[b]:", "a*[b]:{", "a*[b]:{}", "a*[b]:{x}", "b:{expiry.1}", "a*[b]:{tag.1}x"]
        {
            assert_eq!(names.parse(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn patterns_escape_the_namespace() {
        let names = Names::new(r"a*[b]?\".into());
        assert_eq!(text(names.pattern()), r"a\*\[b\]\?\\{*");
    }
}
