//! What the projector refuses to begin on.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use uuid::Uuid;
use weir_control::{Command, CopiedFrom, LogOpened, Misfit, encode};
use weir_event::{Stream, Timestamp};
use weir_event_log::{LogAppender as _, MemoryLog, Record};
use weir_projector::{StartError, first_record};

#[tokio::test]
async fn a_copy_that_was_cut_short_is_refused_until_it_is_whole() {
    let log = MemoryLog::new(2).unwrap();
    assert!(matches!(first_record(&log).await, Err(StartError::Misfit(Misfit::NotOpened))));
    let opened = LogOpened {
        lineage: Uuid::from_u128(7),
        events_partitions: 2,
        dedup_window_micros: 1,
        test_clock: false,
        at: Timestamp::from_micros(0),
        copied_from: Some(CopiedFrom { lineage: Uuid::from_u128(9), control: 2, events: 2 }),
    };
    log.append(Stream::Control, vec![Record::new("", encode(&Command::LogOpened(opened.clone())))]).await.unwrap();
    for (found, stream) in [(1, Stream::Events), (2, Stream::Control), (3, Stream::Events)] {
        let refused = first_record(&log).await.unwrap_err();
        let of = Uuid::from_u128(9);
        assert!(
            matches!(refused, StartError::Misfit(misfit) if misfit == Misfit::HalfCopied { of, found, copied: 4 }),
            "{refused}"
        );
        assert!(refused.is_configuration() && !refused.may_pass());
        assert!(refused.to_string().contains("`weir log copy` again"), "{refused}");
        log.append(stream, vec![Record::new(format!("default/{found}"), "{}")]).await.unwrap();
    }
    assert_eq!(first_record(&log).await.unwrap(), opened);
}
