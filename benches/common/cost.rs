//! What a call costs.

/// CPU seconds of this process (0 where the system does not tell) and wall seconds that a call takes.
pub(crate) fn measured(call: impl FnOnce()) -> [f64; 2] {
    let cpu = || -> Option<f64> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // After the name in parentheses: the 12th and 13th fields are ticks of 10 ms in user and system mode.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
    };
    let (start, before) = (std::time::Instant::now(), cpu());
    call();
    let wall = start.elapsed().as_secs_f64();
    [cpu().zip(before).map_or(0.0, |(after, before)| after - before), wall]
}
