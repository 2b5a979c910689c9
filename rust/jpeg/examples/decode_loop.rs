//! The crate's decoders in a bare loop, for the benchmarks: from memory to RGB (CMYK as it is), into one buffer a thread.
//!
//! `decode_loop FILE THREADS native|turbo`: FILE holds JPEG files one behind the other, each behind its length (32 bits,
//! little-endian). Lines of standard input are answered by lines of JSON: "go" decodes all images once and tells the seconds
//! of the loop and of the processor, "pixels PATH" writes all pixels to PATH, in order.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a program for measuring may panic")]

use std::fs;
use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use pixcrawler_jpeg::{Color, Decoder, Jpeg, PixelFormat, Scratch, Wanted};

fn decode<'a>(bytes: &[u8], decoder: Decoder, buffer: &'a mut Vec<u8>, scratch: &mut Scratch) -> &'a [u8] {
    let mut jpeg = Jpeg::open_with(bytes, decoder).expect("a sound header");
    let format = if jpeg.header().color == Color::Cmyk { PixelFormat::Cmyk } else { PixelFormat::Rgb };
    let size = jpeg.header().width * jpeg.header().height * format.channels();
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    jpeg.decode_into(&Wanted::whole(format), &mut buffer[..size], scratch).expect("a sound image");
    &buffer[..size]
}

fn go(images: &[&[u8]], decoder: Decoder, states: &mut [(Vec<u8>, Scratch)]) {
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let cpu = thread::scope(|scope| {
        let work = |state: &mut (Vec<u8>, Scratch)| {
            let began = cpu_of_thread_s();
            while let Some(bytes) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
                decode(bytes, decoder, &mut state.0, &mut state.1);
            }
            cpu_of_thread_s() - began
        };
        let (first, others) = states.split_first_mut().expect("a thread");
        let others: Vec<_> = others.iter_mut().map(|state| scope.spawn(move || work(state))).collect();
        let own = work(first);
        own + others.into_iter().map(|thread| thread.join().expect("no panic")).sum::<f64>()
    });
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"seconds\": {seconds:.6}, \"cpu_s\": {cpu:.6}, \"images\": {}}}", images.len());
}

/// Processor seconds of the calling thread; zero where the system does not tell.
fn cpu_of_thread_s() -> f64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, threads, decoder] = &arguments[..] else { panic!("decode_loop FILE THREADS native|turbo") };
    let decoder = match decoder.as_str() {
        "native" => Decoder::Native,
        "turbo" => Decoder::Turbo,
        other => panic!("no such decoder: {other}"),
    };
    let data = fs::read(file).expect("the file of images");
    let mut images: Vec<&[u8]> = Vec::new();
    let mut rest = &data[..];
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (image, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        images.push(image);
        rest = behind;
    }
    let threads: usize = threads.parse().expect("a number of threads");
    let mut states: Vec<(Vec<u8>, Scratch)> = (0..threads).map(|_| (Vec::new(), Scratch::default())).collect();
    println!("{{\"ready\": true, \"images\": {}}}", images.len());
    for line in io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        if line == "go" {
            go(&images, decoder, &mut states);
        } else if let Some(path) = line.strip_prefix("pixels ") {
            let mut out = io::BufWriter::new(fs::File::create(path).expect("a file for the pixels"));
            let (buffer, scratch) = &mut states[0];
            for bytes in &images {
                out.write_all(decode(bytes, decoder, buffer, scratch)).expect("room for the pixels");
            }
            out.flush().expect("room for the pixels");
            println!("{{\"images\": {}}}", images.len());
        } else {
            panic!("unknown request: {line}");
        }
    }
}
