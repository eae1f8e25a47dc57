// SPDX-License-Identifier: Apache-2.0
//! Queues of decoded chunks, one for each job. The reader takes the jobs' chunks in order, one job at a time: the job
//! whose turn it is always has some room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Result;

/// The number of waiting chunks that the job whose turn it is may always have.
const HEAD: usize = 4;

/// Queues of chunks, by job.
#[derive(Clone, Debug)]
pub(super) struct Queues(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug)]
struct State {
    /// The job whose turn it is.
    head: u64,
    /// How many chunks may wait in all; beyond that, only the job whose turn it is may add some.
    ahead: usize,
    is_over: bool,
    jobs: HashMap<u64, Job>,
}

#[derive(Debug, Default)]
struct Job {
    chunks: VecDeque<Vec<u8>>,
    end: Option<Result<()>>,
}

impl Queues {
    pub(super) fn new() -> Self {
        let state = State { head: 0, ahead: 0, is_over: false, jobs: HashMap::new() };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    pub(super) fn begin(&self, job: u64) {
        self.lock().jobs.insert(job, Job::default());
    }

    /// Sets how many chunks may wait from now on.
    pub(super) fn allow(&self, ahead: usize) {
        self.lock().ahead = ahead;
        self.0.1.notify_all();
    }

    /// Returns how many chunks wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting()
    }

    /// Tells whether a job has ended; its chunks may still wait.
    pub(super) fn has_ended(&self, job: u64) -> bool {
        self.lock().jobs.get(&job).is_none_or(|job| job.end.is_some())
    }

    /// Adds a chunk, once there is room. Returns `false` if the chunk is no longer wanted.
    pub(super) fn push(&self, job: u64, chunk: Vec<u8>) -> bool {
        let mut state = self.lock();
        while !state.is_over && !state.has_room(job) {
            state = self.wait(state);
        }
        if !state.is_over
            && let Some(job) = state.jobs.get_mut(&job)
        {
            job.chunks.push_back(chunk);
            self.0.1.notify_all();
            return true;
        }
        false
    }

    /// Marks the end of a job: it adds no more chunks.
    pub(super) fn end(&self, job: u64, end: Result<()>) {
        if let Some(job) = self.lock().jobs.get_mut(&job) {
            job.end = Some(end);
        }
        self.0.1.notify_all();
    }

    /// Returns the next chunk of the job whose turn it is. After a job's last chunk it is the next job's turn.
    pub(super) fn pop(&self) -> Result<Option<Vec<u8>>> {
        let mut state = self.lock();
        loop {
            let head = state.head;
            let Some(job) = state.jobs.get_mut(&head) else { return Ok(None) };
            if let Some(chunk) = job.chunks.pop_front() {
                self.0.1.notify_all();
                return Ok(Some(chunk));
            }
            if let Some(end) = job.end.take() {
                end?;
                state.jobs.remove(&head);
                state.head += 1;
                self.0.1.notify_all();
            } else {
                state = self.wait(state);
            }
        }
    }

    /// Ends all jobs.
    pub(super) fn close(&self) {
        self.lock().is_over = true;
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No thread panics while it holds the lock.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.jobs.values().map(|job| job.chunks.len()).sum()
    }

    fn has_room(&self, job: u64) -> bool {
        let is_head_with_room =
            job == self.head && self.jobs.get(&job).is_some_and(|job| job.chunks.len() < HEAD);
        is_head_with_room || self.waiting() < self.ahead
    }
}
