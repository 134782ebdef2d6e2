//! Who writes: one thread that owns the ledger and groups what waits, and one that makes the groups durable.
//!
//! Everybody who asks while a group is on its way to the disk is in the next one, which is written as one batch with one
//! barrier: with 256 producers that is 20 times a barrier each. The second thread lets the first work on the next group
//! in the meantime. Questions about the queue and the heads come the same way, so an answer never tells what is not
//! durable.

use super::disk::{Disk, with_sources};
use crate::store::StoreError;
use crate::store::ledger::Ledger;
use crate::store::writes::Writes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// The most commands in one group, and the length of the mailbox: more waiting would only hide a slow disk.
const GROUP: usize = 1024;

/// A group is closed when it has so many bytes to write.
const GROUP_BYTES: usize = 1024 * 1024;

/// Works on the ledger; what it returns is called after the barrier with what became of the group.
type Command = Box<dyn FnOnce(&mut Ledger, &mut Writes) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

enum Message {
    Command(Command),
    /// The disk has nothing to do.
    Idle,
}

/// The handle of both threads.
#[derive(Debug)]
pub(super) struct Writer {
    mailbox: Option<mpsc::Sender<Message>>,
    threads: Vec<JoinHandle<()>>,
    disk: Arc<Disk>,
}

impl Writer {
    /// Starts the threads. Plain threads and not tokio's: they work for as long as the store is open.
    pub(super) fn start(ledger: Ledger, disk: Arc<Disk>) -> Result<Self, StoreError> {
        let (sender, mailbox) = mpsc::channel(GROUP);
        let (groups, to_write) = std_mpsc::sync_channel(1);
        let line = Arc::new(Line { disk: Arc::clone(&disk), groups: AtomicUsize::new(0) });
        let mut writer = Self { mailbox: None, threads: Vec::new(), disk };
        let knock = sender.downgrade();
        writer.spawn("gleaner-disk", move || write(&to_write, &knock))?;
        writer.spawn("gleaner-store", move || collect(ledger, mailbox, &groups, &line))?;
        writer.mailbox = Some(sender);
        Ok(writer)
    }

    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), StoreError> {
        let thread =
            std::thread::Builder::new().name(name.into()).spawn(work).map_err(|source| {
                StoreError::Backend {
                    operation: "start the store's threads",
                    outcome_unknown: false,
                    source: Box::new(source),
                }
            })?;
        self.threads.push(thread);
        Ok(())
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
            && mailbox.send(Message::Command(command)).await.is_ok()
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
        for thread in self.threads.drain(..) {
            // It has nothing more to tell; a panic in it was answered to whoever waited.
            let _panicked = thread.join();
        }
    }
}

/// Commands that are written and answered together.
#[derive(Default)]
struct Group {
    writes: Writes,
    replies: Vec<Reply>,
}

impl Group {
    fn is_full(&self) -> bool {
        self.replies.len() >= GROUP || self.writes.bytes() >= GROUP_BYTES
    }
}

/// What both threads share: the way to the disk, on which one group goes at a time.
struct Line {
    disk: Arc<Disk>,
    /// How many groups were handed over and are not yet written.
    groups: AtomicUsize,
}

/// A group's place on the line; given up when it is written, however that ends.
struct Ticket(Arc<Line>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.groups.fetch_sub(1, Ordering::Release);
    }
}

impl Line {
    fn is_free(&self) -> bool {
        self.groups.load(Ordering::Acquire) == 0
    }

    /// Writes a group and answers everybody in it.
    ///
    /// The ledger is ahead of the disk until then. If writing fails it stays so, which is why nothing uses it any more:
    /// only opening again tells what was written.
    fn write(&self, group: Group) {
        let Group { writes, replies } = group;
        let written = self
            .disk
            .check_poison()
            .and_then(|()| if writes.len() == 0 { Ok(()) } else { self.disk.write(writes) });
        if let Err(cause) = &written {
            self.disk.poison(cause);
        }
        for reply in replies {
            reply(written.as_ref().map(|_| ()));
        }
        self.disk.note_acknowledged();
    }
}

/// The first thread: works on the ledger, and hands over the group whenever the disk has nothing to do.
fn collect(
    mut ledger: Ledger,
    mut mailbox: mpsc::Receiver<Message>,
    groups: &std_mpsc::SyncSender<(Group, Ticket)>,
    line: &Arc<Line>,
) {
    let mut group = Group::default();
    while let Some(first) = mailbox.blocking_recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            if let Message::Command(command) = message {
                group.replies.push(command(&mut ledger, &mut group.writes));
            }
            next = if group.is_full() { None } else { mailbox.try_recv().ok() };
            if next.is_none() && group.replies.len() > 1 && !group.is_full() && line.is_free() {
                std::thread::yield_now();
                next = mailbox.try_recv().ok();
            }
        }
        if group.replies.is_empty() || !(line.is_free() || group.is_full()) {
            continue;
        }
        let whole = std::mem::take(&mut group);
        if whole.replies.len() == 1 && line.is_free() {
            // Who asks alone waits for one thread less.
            line.write(whole);
        } else {
            hand_over(whole, groups, line);
        }
    }
    if !group.replies.is_empty() {
        hand_over(group, groups, line);
    }
}

/// Waits where a full group has another before it.
fn hand_over(group: Group, groups: &std_mpsc::SyncSender<(Group, Ticket)>, line: &Arc<Line>) {
    line.groups.fetch_add(1, Ordering::Release);
    // It fails where the second thread is gone; the group's senders are dropped then, and that answers who waits.
    let _gone = groups.send((group, Ticket(Arc::clone(line))));
}

/// The second thread: one group after the other to the disk.
fn write(groups: &std_mpsc::Receiver<(Group, Ticket)>, knock: &mpsc::WeakSender<Message>) {
    while let Ok((group, ticket)) = groups.recv() {
        ticket.0.write(group);
        drop(ticket);
        // A full mailbox needs no knock.
        if let Some(mailbox) = knock.upgrade() {
            let _full = mailbox.try_send(Message::Idle);
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
