//! Tables of a write transaction, opened when they are needed.

use redb::{Key, Table, TableDefinition, Value, WriteTransaction};

use crate::store::redb::fault::Raw;

/// A table that is opened when it is first needed: each opening is a lookup, and few transactions
/// need all tables.
pub(super) struct Lazy<'t, K: Key + 'static, V: Value + 'static> {
    txn: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'t, K, V>>,
    edited: bool,
}

impl<'t, K: Key + 'static, V: Value + 'static> Lazy<'t, K, V> {
    pub(super) fn new(
        txn: &'t WriteTransaction,
        definition: TableDefinition<'static, K, V>,
    ) -> Self {
        Self { txn, definition, table: None, edited: false }
    }

    /// The table, for reading.
    pub(super) fn open(&mut self) -> Raw<&Table<'t, K, V>> {
        self.table().map(|table| &*table)
    }

    /// The table, for changes.
    pub(super) fn edit(&mut self) -> Raw<&mut Table<'t, K, V>> {
        self.edited = true;
        self.table()
    }

    fn table(&mut self) -> Raw<&mut Table<'t, K, V>> {
        match &mut self.table {
            Some(table) => Ok(table),
            none => Ok(none.insert(self.txn.open_table(self.definition)?)),
        }
    }

    /// Empties the table at once.
    pub(super) fn reset(&mut self) -> Raw<()> {
        self.table = None;
        self.txn.delete_table(self.definition)?;
        self.edit()?;
        Ok(())
    }

    pub(super) fn is_edited(&self) -> bool {
        self.edited
    }
}
