//! A macro for stores that wrap another store: it forwards methods of [`Store`](super::Store).

/// Implements the named methods of [`Store`](super::Store) by the same method of `self.$inner()`.
///
/// `scan` needs the type parameters that its stream captures: `scan<S>`, or `scan<>` for none.
macro_rules! forward {
    ($inner:ident: $($method:ident $(<$($capture:ident)?>)?),+) => {
        $(forward!(@$method $inner $($($capture)?)?);)+
    };
    (@get $inner:ident) => {
        async fn get(&self, key: &$crate::Key) -> $crate::store::Result<Option<$crate::store::Hit>> {
            self.$inner().get(key).await
        }
    };
    (@put $inner:ident) => {
        async fn put(
            &self,
            key: &$crate::Key,
            head: $crate::entry::Head,
        ) -> $crate::store::Result<Self::Writer> {
            self.$inner().put(key, head).await
        }
    };
    (@update $inner:ident) => {
        async fn update(
            &self,
            key: &$crate::Key,
            seen: $crate::store::Version,
            head: $crate::entry::Head,
        ) -> $crate::store::Result<bool> {
            self.$inner().update(key, seen, head).await
        }
    };
    (@remove $inner:ident) => {
        async fn remove(&self, key: &$crate::Key) -> $crate::store::Result<bool> {
            self.$inner().remove(key).await
        }
    };
    (@remove_if $inner:ident) => {
        async fn remove_if(
            &self,
            key: &$crate::Key,
            seen: $crate::store::Version,
        ) -> $crate::store::Result<bool> {
            self.$inner().remove_if(key, seen).await
        }
    };
    (@remove_expired $inner:ident) => {
        async fn remove_expired(&self, now: $crate::time::Timestamp) -> $crate::store::Result<u64> {
            self.$inner().remove_expired(now).await
        }
    };
    (@remove_tagged $inner:ident) => {
        async fn remove_tagged(&self, tag: &str) -> $crate::store::Result<u64> {
            self.$inner().remove_tagged(tag).await
        }
    };
    (@clear $inner:ident) => {
        async fn clear(&self) -> $crate::store::Result<()> {
            self.$inner().clear().await
        }
    };
    (@flush $inner:ident) => {
        async fn flush(&self) -> $crate::store::Result<()> {
            self.$inner().flush().await
        }
    };
    (@scan $inner:ident $($capture:ident)?) => {
        fn scan(
            &self,
        ) -> impl futures_core::Stream<Item = $crate::store::Result<$crate::store::Scanned>>
        + Send
        + use<$($capture)?> {
            self.$inner().scan()
        }
    };
    (@len $inner:ident) => {
        async fn len(&self) -> $crate::store::Result<u64> {
            self.$inner().len().await
        }
    };
    (@size_bytes $inner:ident) => {
        async fn size_bytes(&self) -> $crate::store::Result<u64> {
            self.$inner().size_bytes().await
        }
    };
}

pub(super) use forward;
