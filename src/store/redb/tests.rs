use super::*;
use crate::store::embedded::tests::{SlowClock, slow_reads_move_away_and_come_back};

#[test]
fn slow_lookups_move_off_the_calling_thread_and_come_back() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), SlowClock::default());
    let path = directory.path().join("cache.redb");
    let (settings, config) = Redb::builder(path).into_config();
    let settings = Settings { reads: clock.read_mode(), ..settings };
    slow_reads_move_away_and_come_back(&Redb::start((settings, config), None).unwrap(), &clock);
}
