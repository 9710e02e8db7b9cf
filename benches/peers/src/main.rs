//! Compares larder with the other HTTP caches for tower, and all of them with a floor: a service
//! that does only what every cache must do.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml --target-dir target/peers
//! ```
//!
//! This takes some two minutes, and half a minute with `-- --quick`. `-- --test` runs each case a
//! few times to test that it works; its times say nothing.
//!
//! [`caches`] has the settings of each cache. Every cache is a tower service in front of the same
//! [`origin`], and the same [`client`] sends its requests: one task on one thread, each body read
//! to its end. The requests are made before the time starts, and dropped before it ends.
//! [`measure`] checks each round: the program ends if a cache stores nothing or returns a body that
//! is not whole. Compare ratios, not times: those depend on the machine.
//!
//! The caches do not do the same work. http-cache-tower and `larder, shared, HTTP rules` follow the
//! HTTP rules. tower-http-cache and hitbox-tower ignore `Vary`; larder always honours it.

use std::{env, process::ExitCode, time::Duration};

use mockalloc::Mockalloc;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use crate::{
    caches::{Cache, DISK, LARGE_BODY, MEMORY},
    measure::{Case, Effort, Measured, build, measure},
    origin::{Origin, request},
};

mod caches;
mod client;
mod large_body;
mod measure;
mod origin;

// Counts only inside of `record_allocs`, on the calling thread. The timed rounds run outside of it.
#[global_allocator]
static ALLOCATOR: Mockalloc<std::alloc::System> = Mockalloc(std::alloc::System);

const SIZES: [usize; 3] = [200, 10 << 10, 1 << 20];
const TASKS: usize = 64;

fn main() -> ExitCode {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let effort = match arguments[..] {
        [] => Effort { rounds: 31, round: Duration::from_millis(20), batch: 2 },
        ["--quick"] => Effort { rounds: 11, round: Duration::from_millis(10), batch: 2 },
        ["--test"] => Effort { rounds: 1, round: Duration::ZERO, batch: 2 },
        ["--large-body", index] => {
            let index: usize = index.parse().expect("an index");
            large_body::tell(&runtime, LARGE_BODY[index]);
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("usage: peers [--quick | --test]");
            return ExitCode::FAILURE;
        }
    };

    compare(&runtime, "hit in memory", &MEMORY, &[], Case::Hit, effort);
    compare(&runtime, "miss, stored in memory", &MEMORY, &[], Case::Miss, effort);
    let absent = ["tower-http-cache", "hitbox-tower"];
    compare(&runtime, "hit on disk", &DISK, &absent, Case::Hit, effort);
    // Larger rounds: each begins with a new file, and the first writes to that cost the most.
    let batch = if effort.round.is_zero() { effort.batch } else { 2048 };
    let effort = Effort { batch, ..effort };
    compare(&runtime, "miss, stored on disk", &DISK, &absent, Case::Miss, effort);
    println!(
        "-: tower-http-cache has no store on disk, hitbox-tower none in redb.\n\
         Syncs: the floor none, larder one at the end of each round, http-cache-tower one for each\n\
         64 responses. Allocations are those of the thread that asks; larder writes on another."
    );
    stampedes(&runtime);
    large_bodies();
    ExitCode::SUCCESS
}

/// Prints a row for each of `caches`, of which the first is the floor, and for each that is
/// `absent`.
fn compare(
    runtime: &Runtime,
    title: &str,
    caches: &[Cache],
    absent: &[&'static str],
    case: Case,
    effort: Effort,
) {
    let columns = SIZES.map(|size| measure(runtime, caches, case, size, effort));
    let rows = caches.iter().enumerate().map(|(row, cache)| {
        let cells = columns.iter().map(|column| cell(&column[0], &column[row], row == 0));
        (cache.name, cells.collect())
    });
    let absent = absent.iter().map(|name| (*name, SIZES.map(|_| "-".to_owned()).to_vec()));
    let title = format!("{title}: x the floor, allocations per request");
    table(&title, &["0.2 KiB", "10 KiB", "1 MiB"], rows.chain(absent));
}

fn cell(floor: &Measured, measured: &Measured, is_floor: bool) -> String {
    let time = measured.time.as_secs_f64();
    let time = match is_floor {
        true => format!("{:.2} us", time * 1e6),
        false => format!("{:.1} x", time / floor.time.as_secs_f64()),
    };
    format!("{time}, {:>3}", measured.allocations)
}

/// Requests of many tasks for the same, at once, while nothing is stored.
fn stampedes(runtime: &Runtime) {
    let rows = MEMORY[1..].iter().map(|cache| {
        let origin = Origin::new(SIZES[0], 1, Some(Duration::from_millis(50)));
        let (client, _folder) = build(runtime, *cache, &origin);
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..TASKS {
                let response = client.open(request(0));
                tasks.spawn(async { response.await.await });
            }
            let lens = tasks.join_all().await;
            assert_eq!(lens, [SIZES[0]; TASKS], "{}: the bodies are not whole", cache.name);
        });
        (cache.name, vec![origin.calls().to_string()])
    });
    table(&format!("{TASKS} tasks miss for one key at once"), &["calls of the origin"], rows);
}

fn large_bodies() {
    let rows = LARGE_BODY.iter().enumerate();
    let rows = rows.map(|(index, cache)| (cache.name, large_body::measure(index)));
    let columns = ["chunks read before the head", "memory at the peak", "stored"];
    table("a body of 64 MiB in 1024 chunks, read to its end", &columns, rows);
    println!(
        "Stores in memory hold the body itself. By default, tower-http-cache stores no body over\n\
         1 MiB. Memory is what the system says of a process; -: this system does not say it."
    );
}

fn table(
    title: &str,
    columns: &[&str],
    rows: impl IntoIterator<Item = (&'static str, Vec<String>)>,
) {
    println!("\n{title}\n");
    let line = |name: &str, cells: Vec<String>| {
        let cells: String = cells
            .iter()
            .zip(columns)
            .map(|(cell, column)| format!("{cell:>width$}", width = column.len().max(14) + 3))
            .collect();
        println!("{name:<32}{cells}");
    };
    line("", columns.iter().map(|column| (*column).to_owned()).collect());
    for (name, cells) in rows {
        line(name, cells);
    }
}
