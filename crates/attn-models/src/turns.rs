//! Batches that are under way at a time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use attn_core::Limits;
use candle_core::Device;

/// Most batches that are under way at a time: a few fill the time that one leaves idle, and each takes memory.
const UNDER_WAY: usize = 4;

/// Bytes of stack, those of a main thread: a backward pass walks its graph by recursion.
const STACK: usize = 8 << 20;

/// Batches to have under way at a time, at least one: as many as the limits allow of the largest, by the bytes that each needs.
/// A GPU computes one after the other in any case, and a browser has no threads.
pub(crate) fn under_way(device: &Device, limits: Limits, mut needed: Vec<u64>) -> usize {
    if !device.is_cpu() || cfg!(target_family = "wasm") {
        return 1;
    }
    needed.sort_unstable_by(|a, b| b.cmp(a));
    let mut taken: u64 = 0;
    let fitting = needed.into_iter().take_while(|&bytes| {
        taken = taken.saturating_add(bytes);
        taken <= limits.bytes
    });
    let most = rayon::current_num_threads().min(UNDER_WAY);
    fitting.take(most).count().max(1)
}

/// Does every task once, some at a time on threads of their own, and ends at the first error: that of the earliest
/// task, however many threads there are.
///
/// Much of the work between products runs on one thread, and so does writing. With two batches under way one computes
/// while the other waits. These are not threads of a pool, whose tasks, waiting for a product, would
/// begin another batch in between.
pub(crate) fn in_turn<E: Send>(
    tasks: usize,
    threads: usize,
    task: impl Fn(usize) -> std::result::Result<(), E> + Sync,
) -> std::result::Result<(), E> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None::<(usize, E)>);
    let lock = || failed.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= tasks || lock().as_ref().is_some_and(|(first, _)| *first < at) {
                return;
            }
            if let Err(error) = task(at) {
                let mut failed = lock();
                if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                    *failed = Some((at, error));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(tasks) {
            // A thread that cannot be had is not needed: the others do its tasks.
            let _ = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        }
        work();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// What every task gives, handed to `take` in the order of the tasks, however many threads there are. Of results that wait
/// there are never more than threads.
pub(crate) fn in_order<T: Send, E: Send>(
    tasks: usize,
    threads: usize,
    task: impl Fn(usize) -> std::result::Result<T, E> + Sync,
    mut take: impl FnMut(T) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    for start in (0..tasks).step_by(threads.max(1)) {
        let results: Vec<Mutex<Option<T>>> = (start..tasks).take(threads.max(1)).map(|_| Mutex::default()).collect();
        in_turn(results.len(), threads, |at| {
            let result = task(start + at)?;
            *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            Ok(())
        })?;
        for result in results {
            if let Some(result) = result.into_inner().unwrap_or_else(PoisonError::into_inner) {
                take(result)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_done_once_and_the_earliest_error_counts() {
        for threads in [1, 2, 7] {
            let counts: Vec<AtomicUsize> = (0..50).map(|_| AtomicUsize::new(0)).collect();
            let count = |at: usize| counts[at].fetch_add(1, Ordering::Relaxed);
            let all = in_turn(50, threads, |at| {
                count(at);
                Ok::<(), usize>(())
            });
            assert_eq!(all, Ok(()));
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            let failing = in_turn(50, threads, |at| if at % 10 == 9 { Err(at) } else { Ok(()) });
            assert_eq!(failing, Err(9));
        }
        assert_eq!(in_turn(0, 2, |_| Err(())), Ok(()));
    }

    #[test]
    fn no_more_batches_are_under_way_than_fit() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
        let of = |needed: &[u64]| pool.install(|| under_way(&Device::Cpu, Limits::of(100), needed.to_vec()));
        assert_eq!(of(&[10, 60, 30, 50]), 1, "60 and 50 are too many");
        assert_eq!(of(&[10, 40, 30, 20]), 4);
        assert_eq!(of(&[5; 20]), UNDER_WAY);
        assert_eq!((of(&[200, 1]), of(&[])), (1, 1), "who runs it says what does not fit");
    }

    #[test]
    fn results_come_in_the_order_of_tasks() {
        for threads in [0, 1, 2, 3, 7] {
            let mut taken = Vec::new();
            let take = |at: usize| {
                taken.push(at);
                Ok::<(), usize>(())
            };
            assert_eq!(in_order(20, threads, |at| Ok(at * at), take), Ok(()));
            assert_eq!(taken, (0..20).map(|at| at * at).collect::<Vec<_>>());
            let failing = |at| if at < 11 { Ok(at) } else { Err(at) };
            let mut sum = 0;
            let take = |at: usize| {
                sum += at;
                Ok(())
            };
            assert_eq!(in_order(20, threads, failing, take), Err(11));
            let refused = |at: usize| if at == 5 { Err(at) } else { Ok(()) };
            assert_eq!(in_order(20, threads, Ok, refused), Err(5));
        }
    }
}
