//! The stores under test, and their properties.

use std::path::Path;

use futures_util::Stream;
use larder::{
    Key,
    entry::Head,
    store::{Files, Hit, Redb, Result, Scanned, Sqlite, Store, Version, redb::Durability},
    time::Timestamp,
};

/// A store that keeps its entries in a file.
pub(crate) trait Embedded: Store {
    /// The name of the store in its errors.
    const NAME: &'static str;
    /// The size of a page of the file.
    const PAGE: usize;
    /// Whether a kill may lose acknowledged operations that were not synced yet.
    const LOSES_UNSYNCED: bool;

    /// Opens the file with the default settings.
    fn open_file(path: &Path) -> Result<Self>;

    /// Opens the file read-only.
    fn open_to_read(path: &Path) -> Result<Self>;

    /// Opens the file with another durability.
    fn open_durable(path: &Path, durability: Durability) -> Result<Self>;

    /// The acknowledged entries that could not be written.
    fn unwritten(&self) -> u64;

    /// Syncs and closes the file.
    fn close_file(&self) -> impl Future<Output = Result<()>> + Send;
}

impl Embedded for Redb {
    const NAME: &'static str = "redb";
    const PAGE: usize = 4 * 1024;
    const LOSES_UNSYNCED: bool = true;

    fn open_file(path: &Path) -> Result<Self> {
        Self::open(path)
    }

    fn open_to_read(path: &Path) -> Result<Self> {
        Self::builder(path).read_only(true).open()
    }

    fn unwritten(&self) -> u64 {
        Self::unwritten(self)
    }

    fn open_durable(path: &Path, durability: Durability) -> Result<Self> {
        Self::builder(path).durability(durability).open()
    }

    async fn close_file(&self) -> Result<()> {
        self.close().await
    }
}

impl Embedded for Sqlite {
    const NAME: &'static str = "sqlite";
    const PAGE: usize = 8 * 1024;
    const LOSES_UNSYNCED: bool = false;

    fn open_file(path: &Path) -> Result<Self> {
        Self::open(path)
    }

    fn open_to_read(path: &Path) -> Result<Self> {
        Self::builder(path).read_only(true).open()
    }

    fn unwritten(&self) -> u64 {
        Self::unwritten(self)
    }

    fn open_durable(path: &Path, durability: Durability) -> Result<Self> {
        Self::builder(path).durability(durability).open()
    }

    async fn close_file(&self) -> Result<()> {
        self.close().await
    }
}

/// An exclusive [`Sqlite`], which shows entries before they are committed.
#[derive(Clone, Debug)]
pub(crate) struct Exclusive(pub(crate) Sqlite);

impl Embedded for Exclusive {
    const NAME: &'static str = "sqlite";
    const PAGE: usize = 8 * 1024;
    const LOSES_UNSYNCED: bool = true;

    fn open_file(path: &Path) -> Result<Self> {
        Sqlite::builder(path).exclusive(true).open().map(Self)
    }

    fn open_to_read(path: &Path) -> Result<Self> {
        Sqlite::builder(path).read_only(true).open().map(Self)
    }

    fn open_durable(path: &Path, durability: Durability) -> Result<Self> {
        Sqlite::builder(path).exclusive(true).durability(durability).open().map(Self)
    }

    fn unwritten(&self) -> u64 {
        self.0.unwritten()
    }

    async fn close_file(&self) -> Result<()> {
        self.0.close().await
    }
}

impl Store for Exclusive {
    type Writer = <Sqlite as Store>::Writer;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.0.get(key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        self.0.put(key, head).await
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.0.update(key, seen, head).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.0.remove(key).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.0.remove_if(key, seen).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.0.remove_expired(now).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.0.remove_tagged(tag).await
    }

    async fn clear(&self) -> Result<()> {
        self.0.clear().await
    }

    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        self.0.scan()
    }

    async fn len(&self) -> Result<u64> {
        self.0.len().await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.0.size_bytes().await
    }
}

/// A folder instead of a file, without a database in it.
impl Embedded for Files {
    const NAME: &'static str = "files";
    const PAGE: usize = 4 * 1024;
    const LOSES_UNSYNCED: bool = false;

    fn open_file(path: &Path) -> Result<Self> {
        Self::open(path)
    }

    fn open_to_read(path: &Path) -> Result<Self> {
        Self::builder(path).read_only(true).open()
    }

    /// There is only one durability.
    fn open_durable(path: &Path, _: Durability) -> Result<Self> {
        Self::open(path)
    }

    fn unwritten(&self) -> u64 {
        0
    }

    async fn close_file(&self) -> Result<()> {
        self.flush().await
    }
}

/// Makes each function a test of every store. The function receives the name of its test, to run it
/// again in a child process.
macro_rules! for_each_store {
    ($($tests:tt)*) => {
        mod redb {
            tests_of!(larder::store::Redb; $($tests)*);
        }
        mod sqlite {
            tests_of!(larder::store::Sqlite; $($tests)*);
        }
        mod exclusive_sqlite {
            tests_of!($crate::stores::Exclusive; $($tests)*);
        }
    };
}

/// Makes each function a test of every store, including [`Files`].
macro_rules! for_each_store_and_files {
    ($($tests:tt)*) => {
        for_each_store! { $($tests)* }
        mod files {
            tests_of!(larder::store::Files; $($tests)*);
        }
    };
}

/// Makes each function a test of one store.
macro_rules! tests_of {
    ($store:ty; $($(#[$attribute:meta])* $test:ident),* $(,)?) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $test() {
                let name = concat!(module_path!(), "::", stringify!($test));
                super::$test::<$store>(name.split_once("::").unwrap().1);
            }
        )*
    };
}
