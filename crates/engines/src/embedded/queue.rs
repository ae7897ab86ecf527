//! `Queue`: work that waits for a thread, bounded by number and weight, taken in heaps.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
    most_weight: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    /// Threads that sleep until something changes; waking nobody costs a system call, too.
    waiting: usize,
    closed: bool,
}

/// What was not taken, and why.
#[derive(Debug)]
pub(super) enum Refused<T> {
    Full(T),
    Closed(T),
}

/// What waiting for work led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Some,
    /// Nothing came in time.
    Nothing,
    /// Nothing is left and nothing will come.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(most: usize, most_weight: usize) -> Queue<T> {
        let state = State { items: VecDeque::new(), weight: 0, waiting: 0, closed: false };
        Queue { state: Mutex::new(state), changed: Condvar::new(), most, most_weight }
    }

    /// Adds one item. A single item of any weight fits into an empty queue.
    pub(super) fn push(&self, item: T, weight: usize) -> Result<(), Refused<T>> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed(item));
        }
        let full = state.items.len() >= self.most || state.weight + weight > self.most_weight;
        if full && !state.items.is_empty() {
            return Err(Refused::Full(item));
        }
        state.items.push_back((item, weight));
        state.weight += weight;
        if state.waiting > 0 {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Moves what waits into `heap`, at most so many and so heavy, but at least one; waits for it at most so long.
    pub(super) fn take(&self, heap: &mut Vec<T>, most: usize, most_weight: usize, wait: Duration) -> Taken {
        let mut state = self.state();
        if state.items.is_empty() && !state.closed {
            state.waiting += 1;
            let quiet = |state: &mut State<T>| state.items.is_empty() && !state.closed;
            let result = self.changed.wait_timeout_while(state, wait, quiet);
            state = result.unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
        let mut taken = 0;
        while let Some((_, weight)) = state.items.front() {
            taken += weight;
            if !heap.is_empty() && (heap.len() >= most || taken > most_weight) {
                break;
            }
            if let Some((item, weight)) = state.items.pop_front() {
                state.weight -= weight;
                heap.push(item);
            }
        }
        match heap.is_empty() {
            false => Taken::Some,
            true if state.closed => Taken::Closed,
            true => Taken::Nothing,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().items.is_empty()
    }

    /// Takes nothing new from now on; what waits is still handed out.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn taken(queue: &Queue<u32>, most: usize, most_weight: usize) -> Vec<u32> {
        let mut heap = Vec::new();
        queue.take(&mut heap, most, most_weight, NOW);
        heap
    }

    #[test]
    fn a_heap_is_bounded_by_number_and_weight_but_never_empty() {
        let queue = Queue::new(10, 100);
        for (item, weight) in [(1, 10), (2, 10), (3, 10), (4, 60)] {
            queue.push(item, weight).unwrap();
        }
        assert_eq!(taken(&queue, 2, 1000), [1, 2]);
        assert_eq!(taken(&queue, 10, 50), [3]);
        assert_eq!(taken(&queue, 10, 50), [4]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_queue_refuses_but_takes_anything_when_empty() {
        let queue = Queue::new(2, 100);
        queue.push(1, 1000).unwrap();
        assert!(matches!(queue.push(2, 1), Err(Refused::Full(2))));
        assert_eq!(taken(&queue, 1, 1), [1]);
        queue.push(3, 1).unwrap();
        queue.push(4, 1).unwrap();
        assert!(matches!(queue.push(5, 1), Err(Refused::Full(5))));
    }

    #[test]
    fn a_closed_queue_hands_out_the_rest() {
        let queue = Queue::new(2, 100);
        queue.push(1, 1).unwrap();
        queue.close();
        assert!(matches!(queue.push(2, 1), Err(Refused::Closed(2))));
        let mut heap = Vec::new();
        assert_eq!(queue.take(&mut heap, 9, 9, NOW), Taken::Some);
        heap.clear();
        assert_eq!(queue.take(&mut heap, 9, 9, NOW), Taken::Closed);
        let open = Queue::<u32>::new(1, 1);
        assert_eq!(open.take(&mut heap, 9, 9, NOW), Taken::Nothing);
    }

    #[test]
    fn a_sleeping_thread_is_woken_by_work_and_by_closing() {
        let queue = Queue::new(2, 100);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let mut all = Vec::new();
                loop {
                    let mut heap = Vec::new();
                    match queue.take(&mut heap, 9, 9, Duration::from_secs(30)) {
                        Taken::Some => all.append(&mut heap),
                        Taken::Nothing => panic!("not woken"),
                        Taken::Closed => return all,
                    }
                }
            });
            queue.push(1, 1).unwrap();
            queue.push(2, 1).unwrap();
            queue.close();
            assert_eq!(worker.join().unwrap(), [1, 2]);
        });
    }
}
