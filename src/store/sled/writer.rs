//! The one thread that owns the ledger and writes: it groups what waits, writes it as one batch with one barrier, and
//! then answers everybody. With 256 producers that is 20 times a barrier each.
//!
//! Questions about the queue and the heads come the same way, so an answer never tells what is not durable.

use super::disk::{Disk, with_sources};
use crate::store::StoreError;
use crate::store::ledger::Ledger;
use crate::store::writes::Writes;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// The most commands in one group, and the length of the mailbox: more waiting would only hide a slow disk.
const GROUP: usize = 1024;

/// A group is closed when it has so many bytes to write.
const GROUP_BYTES: usize = 1024 * 1024;

/// Works on the ledger; what it returns is called after the barrier with what became of the group.
type Command = Box<dyn FnOnce(&mut Ledger, &mut Writes) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

/// The handle of the thread.
#[derive(Debug)]
pub(super) struct Writer {
    mailbox: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    disk: Arc<Disk>,
}

impl Writer {
    /// Starts the thread. A plain thread and not one of tokio's: it works for as long as the store is open.
    pub(super) fn start(ledger: Ledger, disk: Arc<Disk>) -> Result<Self, StoreError> {
        let (sender, mailbox) = mpsc::channel(GROUP);
        let its_disk = Arc::clone(&disk);
        let thread = std::thread::Builder::new()
            .name("gleaner-store".into())
            .spawn(move || serve(ledger, mailbox, &its_disk))
            .map_err(|source| StoreError::Backend {
                operation: "start the store's thread",
                outcome_unknown: false,
                source: Box::new(source),
            })?;
        Ok(Self { mailbox: Some(sender), thread: Some(thread), disk })
    }

    /// Has `work` done on the ledger and answers when what it wrote is durable.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ledger, &mut Writes) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let command: Command = Box::new(move |ledger, writes| {
            let before = writes.len();
            let answer = work(ledger, writes);
            let wrote = writes.len() > before;
            Box::new(move |group| {
                let answer = match group {
                    Ok(()) => answer,
                    Err(cause) => Err(unwritten(cause, wrote)),
                };
                // Whoever asked may have gone; the work is done all the same.
                let _gone = sender.send(answer);
            })
        });
        if let Some(mailbox) = &self.mailbox
            && mailbox.send(command).await.is_ok()
            && let Ok(answer) = receiver.await
        {
            return answer;
        }
        self.disk.check_poison()?;
        Err(StoreError::Poisoned { cause: "the store's thread has ended".into() })
    }
}

impl Drop for Writer {
    /// Waits for the commands in the mailbox, so that the state directory can be opened again right away.
    fn drop(&mut self) {
        drop(self.mailbox.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing more to tell; a panic in it was answered to whoever waited.
            let _panicked = thread.join();
        }
    }
}

fn serve(mut ledger: Ledger, mut mailbox: mpsc::Receiver<Command>, disk: &Disk) {
    let mut replies: Vec<Reply> = Vec::with_capacity(GROUP);
    while let Some(first) = mailbox.blocking_recv() {
        let mut writes = Writes::default();
        let mut next = Some(first);
        while let Some(command) = next {
            replies.push(command(&mut ledger, &mut writes));
            let full = replies.len() >= GROUP || writes.bytes() >= GROUP_BYTES;
            next = if full { None } else { mailbox.try_recv().ok() };
        }
        // The ledger is now ahead of the disk. If writing fails it stays so, which is why nothing uses it any more then:
        // only opening again tells what was written.
        let written = disk
            .check_poison()
            .and_then(|()| if writes.len() == 0 { Ok(()) } else { disk.write(writes) });
        if let Err(cause) = &written {
            disk.poison(cause);
        }
        for reply in replies.drain(..) {
            reply(written.as_ref().map(|_| ()));
        }
    }
}

/// What a command is told when its group could not be written.
fn unwritten(cause: &StoreError, wrote: bool) -> StoreError {
    if let StoreError::Poisoned { cause } = cause {
        return StoreError::Poisoned { cause: cause.clone() };
    }
    let text = with_sources(cause);
    if wrote {
        StoreError::Backend {
            operation: "write to the event log",
            outcome_unknown: true,
            source: text.into(),
        }
    } else {
        StoreError::Poisoned { cause: text }
    }
}
