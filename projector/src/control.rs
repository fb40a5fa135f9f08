//! The projection `control`: the records of `control.v1` as they are, for those who don't see the log.

use std::sync::Arc;

use uuid::Uuid;
use weir_control::{Outcome, State};
use weir_event::Stream;
use weir_event_log::EventLog;
use weir_store::{Fence, Generation, Projection, Quarantined};

use crate::error::FoldError;
use crate::runner::{Owned, UNLIMITED, Until};

const READ_BYTES: usize = 1 << 20;

/// `control.v1` in one generation.
pub(crate) struct Control {
    log: Arc<dyn EventLog>,
    generation: Arc<dyn Generation>,
    owner: Uuid,
    next: u64,
    until: Until,
}

impl Control {
    /// Takes the stream over at the offset that the tables say.
    pub(crate) async fn take_over(
        log: Arc<dyn EventLog>,
        generation: Arc<dyn Generation>,
        owner: Uuid,
    ) -> Result<Self, FoldError> {
        let next = generation.claim(Projection::Control, 0, owner).await?;
        crate::check_end(log.as_ref(), Projection::Control, 0, next).await?;
        Ok(Self { log, generation, owner, next, until: UNLIMITED })
    }
}

impl Owned for Control {
    const NAME: &'static str = Projection::Control.name();

    async fn wait(&mut self) -> Result<(), FoldError> {
        self.until.passed(self.next).await;
        Ok(self.log.wait_beyond(Stream::Control, 0, self.next).await?)
    }

    fn stop_at(&mut self, until: Until) {
        self.until = until;
    }

    async fn work(&mut self) -> Result<(), FoldError> {
        let mut chunk = self.log.read(Stream::Control, 0, self.next, READ_BYTES).await?;
        chunk.records.retain(|record| record.offset < self.until.offset);
        chunk.next = chunk.next.min(self.until.offset);
        let records: Vec<_> = chunk.records.iter().map(|record| (record.offset, record.value.to_vec())).collect();
        let poison = chunk.records.iter().filter_map(|record| {
            // Whether bytes are a record at all doesn't depend on what came before.
            let Outcome::Poison(reason) = State::default().evolve(record.offset, &record.value) else { return None };
            let (stream, offset, record) = (Stream::Control, record.offset, record.value.to_vec());
            Some(Quarantined { stream, partition: 0, offset, reason, record })
        });
        let quarantine: Vec<Quarantined> = poison.collect();
        let fence =
            Fence { partition: 0, owner: self.owner, expected: self.next, next: chunk.next, newest_receipt: None };
        self.generation.commit_control(fence, &records, &quarantine).await?;
        self.next = chunk.next;
        Ok(())
    }
}
