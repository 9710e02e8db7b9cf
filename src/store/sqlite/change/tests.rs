//! What removals read, counted by SQLite.

use rusqlite::{Connection, StatementStatus, params};

use super::{EXPIRED, TAGGED};
use crate::store::{
    embedded::ENTRIES,
    sqlite::schema::{ENTRY_REMOVED, TABLES},
};

/// How many steps SQLite's machine takes to remove ten entries of so many.
fn steps(entries: u64, sql: &str, what: &dyn rusqlite::ToSql) -> i32 {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(&format!("{TABLES}{ENTRY_REMOVED}")).unwrap();
    // Each tenth of them has one entry to be removed.
    conn.execute_batch(&format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {entries})
         INSERT INTO entries (id, key, version, method, url, stored_at, keep_until, body_bytes, size, checksum, head)
             SELECT n, randomblob(32), 1, 'GET', '', 0, iif(n % {tenth} = 0, 5, 9), 0, 0, 0, '' FROM numbers;
         INSERT INTO tags SELECT id, iif(id % {tenth} = 0, 'few', 'many') FROM entries;",
        tenth = entries / 10
    ))
    .unwrap();
    let mut removal = conn.prepare(sql).unwrap();
    assert_eq!(removal.execute(params![what, ENTRIES]).unwrap(), 10);
    removal.get_status(StatementStatus::VmStep)
}

#[test]
fn purges_take_the_same_steps_with_any_number_of_entries() {
    for (sql, what) in [(TAGGED, &"few" as &dyn rusqlite::ToSql), (EXPIRED, &5)] {
        assert_eq!(steps(100, sql, what), steps(100_000, sql, what), "{sql}");
    }
}
