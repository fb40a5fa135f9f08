//! Every shape keeps what was written, also through its redo log, and forgets the redo rows that the tables have passed.

use sqlx::Connection;
use weir_bench::state_shapes::{Layout, Pragmas, StateFile, Writing};
use weir_bench::state_workload::{Population, Random, States};

const PRAGMAS: Pragmas = Pragmas { page: 4_096, cache: 16, checkpoint: 4, mmap: 0, full: false, replace: false };

async fn written_and_recovered(layout: Layout, writing: Writing) -> anyhow::Result<usize> {
    let dir = tempfile::tempdir()?;
    let states = States::new(Population::new(3_000));
    let mut file = StateFile::create(&dir.path().join("states.db"), layout, writing, states, 4_096).await?;
    let mut db = file.open(&PRAGMAS).await?;
    let mut random = Random::new(1);
    for round in 0..60 {
        file.batch(&mut db, &mut random, 500, (round % 2 == 0, &PRAGMAS)).await?;
    }
    db.close().await?;
    // `recover` compares 1,000 random profiles with memory.
    Ok(file.recover(&PRAGMAS).await?.index_entries)
}

#[tokio::test]
async fn direct_shapes_hold_what_was_written() {
    for layout in [Layout::Rows, Layout::IdRows, Layout::Wide(16), Layout::Wide(64)] {
        assert_eq!(written_and_recovered(layout, Writing::Direct).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn redo_and_tables_together_hold_what_was_written() {
    for layout in [Layout::Rows, Layout::Wide(64)] {
        for writing in [Writing::Snapshot { every: 70_000 }, Writing::Sweep { every: 200_000, redo: true }] {
            let index = written_and_recovered(layout, writing).await.unwrap();
            assert!(index > 0, "{layout:?} {writing:?}: nothing in the redo log");
        }
    }
}
