//! The stores under test, and what the tests need to know of each.

use std::path::Path;

use larder::store::{Redb, Result, Sqlite, Store, redb::Durability};

/// A store that keeps its entries in a file.
pub(crate) trait Embedded: Store {
    /// The name of the store, as its errors say it.
    const NAME: &'static str;
    /// The size of a page of the file.
    const PAGE: usize;
    /// Whether a kill may lose acknowledged operations that were not synced yet.
    const LOSES_UNSYNCED: bool;

    /// Opens the file with the default settings.
    fn open_file(path: &Path) -> Result<Self>;

    /// Opens the file with another durability.
    fn open_durable(path: &Path, durability: Durability) -> Result<Self>;

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

    fn open_durable(path: &Path, durability: Durability) -> Result<Self> {
        Self::builder(path).durability(durability).open()
    }

    async fn close_file(&self) -> Result<()> {
        self.close().await
    }
}

/// Makes each function a test of every store. A function takes the name of its test, by which it
/// starts itself again in a child process.
macro_rules! for_each_store {
    ($($tests:tt)*) => {
        mod redb {
            tests_of!(larder::store::Redb; $($tests)*);
        }
        mod sqlite {
            tests_of!(larder::store::Sqlite; $($tests)*);
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
