//! The machine on which the figures are measured.

use std::fs;
use std::thread;

use convoke_tests::binary;

/// Prints the properties of the machine that are needed to interpret the figures.
pub(crate) fn print() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let memory_kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    let size = fs::metadata(binary::convoke()).map_or(0, |file| file.len());
    println!("machine   {cores} cores, {model}, {} GiB", memory_kib >> 20);
    println!("kernel    {}", read("/proc/sys/kernel/osrelease").trim());
    println!("load      {} (before)", read("/proc/loadavg").trim());
    println!("binary    {:.1} MiB", size as f64 / f64::from(1 << 20));
    println!();
}
