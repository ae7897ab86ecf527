//! How fast masking, UTF-8 checking and the whole parser are, beside their simple twins.
//!
//! `cargo run --release -p parlor-proto --example ws_speed`

use std::hint::black_box;
use std::time::{Duration, Instant};

use parlor_proto::ws::{Config, Connection, Role, frame, mask, utf8};

fn main() {
    println!("{:<34} {:>10} {:>10} {:>7}", "GB/s (best of 20)", "ours", "twin", "ratio");
    for size in [16, 128, 1024, 64 * 1024, 16 * 1024 * 1024] {
        let data = vec![b'a'; size];
        row("mask", &data, |data| mask::apply(KEY, data), |data| mask::apply_simple(KEY, data));
    }
    let texts = [("UTF-8, ASCII", "Hello, world! "), ("UTF-8, mixed", "Grüße, κόσμε, 世界 😀 ")];
    for (name, text) in texts {
        for size in [16, 128, 1024, 64 * 1024, 16 * 1024 * 1024] {
            let repeated = text.repeat(size / text.len() + 1);
            let data = &repeated.as_bytes()[..repeated.floor_char_boundary(size)];
            let ours = |data: &mut [u8]| {
                let _ = black_box(utf8::check(data));
            };
            let twin = |data: &mut [u8]| {
                let _ = black_box(std::str::from_utf8(data));
            };
            row(name, data, ours, twin);
        }
    }
    for size in [16, 128, 1024, 60 * 1024] {
        let mut data = Vec::new();
        while data.len() < 64 * 1024 - size {
            let mut header = Vec::new();
            frame::write_header(&mut header, true, false, frame::Opcode::Text, size);
            header[1] |= 0x80;
            data.extend(header);
            data.extend(KEY);
            let start = data.len();
            data.resize(start + size, b'a');
            mask::apply_simple(KEY, &mut data[start..]);
        }
        let mut conn = Connection::new(Role::Server, &Config::default());
        let now = Instant::now();
        let fast = best(&data, |data| {
            let mut received = conn.receive(now, data);
            while let Some(event) = received.poll_event() {
                black_box(event);
            }
        });
        let frames = data.len() / (size + frame::header_len(size) + 4);
        let each = fast.as_secs_f64() / frames as f64 * 1e9;
        println!("receive frames of {size:<16} {:>10.2} {each:>10.1} ns a frame", speed(&data, fast));
    }
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn row(name: &str, data: &[u8], ours: impl FnMut(&mut [u8]), twin: impl FnMut(&mut [u8])) {
    let (ours, twin) = (best(data, ours), best(data, twin));
    println!(
        "{:<34} {:>10.2} {:>10.2} {:>7.2}",
        format!("{name}, {} bytes", data.len()),
        speed(data, ours),
        speed(data, twin),
        twin.as_secs_f64() / ours.as_secs_f64()
    );
}

fn speed(data: &[u8], time: Duration) -> f64 {
    data.len() as f64 / time.as_secs_f64() / 1e9
}

/// The shortest time for one pass over a fresh copy, copying not counted. Short passes are repeated within one
/// measurement, so that the clock does not count.
fn best(data: &[u8], mut pass: impl FnMut(&mut [u8])) -> Duration {
    let repeats = (64 * 1024 / data.len()).max(1);
    let mut copies: Vec<Vec<u8>> = vec![data.to_vec(); repeats];
    (0..20)
        .map(|_| {
            copies.iter_mut().for_each(|copy| copy.copy_from_slice(data));
            let start = Instant::now();
            for copy in &mut copies {
                pass(black_box(copy));
            }
            start.elapsed() / repeats as u32
        })
        .min()
        .unwrap_or_default()
}
