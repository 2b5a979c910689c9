//! A contestant of the benchmarks: RGB pictures resized to a square by `Bilinear`, on one thread.
//!
//! `time_resize PICTURES SIDE REPEATS [ROWS]`: the file holds, for each picture, width and height (32 bits, the low byte first)
//! and its pixels. With ROWS, so many rows at a time are pushed to a `Stream`; without, `resize` gets all. It says in
//! JSON that it is ready, then answers `go` after resizing each picture REPEATS times and `pixels PATH` after writing
//! all results there.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use pixcrawler_resize::{Channels, Filter, Kernel, Plan, ResizeError, Scratch, Size, Stream, resize};

struct Picture {
    size: Size,
    pixels: Vec<u8>,
}

struct Contestant {
    pictures: Vec<Picture>,
    side: u32,
    rows_at_once: Option<usize>,
    scratch: Scratch,
}

impl Contestant {
    fn resize(&mut self, at: usize, out: &mut [u8]) -> Result<(), ResizeError> {
        let Picture { size, pixels } = &self.pictures[at];
        let wanted = Size { w: self.side, h: self.side };
        let plan = Plan::stretch(*size, wanted, Channels::Three, Filter::Bilinear);
        let (src_stride, dst_stride) = (size.w as usize * 3, self.side as usize * 3);
        let Some(rows) = self.rows_at_once else {
            return resize(&plan, pixels, src_stride, out, dst_stride, &mut self.scratch);
        };
        let mut stream = Stream::new(&plan, out, dst_stride, &mut self.scratch)?;
        for rows in pixels.chunks(rows * src_stride) {
            stream.push(rows)?;
        }
        stream.finish()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("time_resize PICTURES SIDE REPEATS [ROWS]")?;
    let side: u32 = arguments.next().ok_or("no SIDE")?.parse()?;
    let repeats: usize = arguments.next().ok_or("no REPEATS")?.parse()?;
    let rows_at_once = arguments.next().map(|rows| rows.parse()).transpose()?;
    let mut contestant =
        Contestant { pictures: read(&std::fs::read(file)?)?, side, rows_at_once, scratch: Scratch::new() };
    let mut out = vec![0; side as usize * side as usize * 3];
    let mut answers = std::io::stdout();
    writeln!(answers, r#"{{"ready": true, "kernel": "{}"}}"#, Kernel::in_use().name())?;
    for request in std::io::stdin().lock().lines() {
        let request = request?;
        let images = contestant.pictures.len();
        if request == "go" {
            let (began, cpu_began) = (Instant::now(), cpu_seconds());
            for at in (0..images).flat_map(|at| std::iter::repeat_n(at, repeats)) {
                contestant.resize(at, &mut out)?;
            }
            let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu_began);
            let images = images * repeats;
            writeln!(answers, r#"{{"seconds": {seconds}, "cpu_s": {cpu}, "images": {images}}}"#)?;
        } else if let Some(path) = request.strip_prefix("pixels ") {
            let mut file = std::fs::File::create(path)?;
            for at in 0..images {
                contestant.resize(at, &mut out)?;
                file.write_all(&out)?;
            }
            writeln!(answers, r#"{{"done": true}}"#)?;
        } else {
            return Err(format!("unknown request {request:?}").into());
        }
    }
    Ok(())
}

/// The pictures of a file.
fn read(mut bytes: &[u8]) -> Result<Vec<Picture>, &'static str> {
    let mut pictures = Vec::new();
    while let Some((&[a, b, c, d, e, f, g, h], rest)) = bytes.split_first_chunk() {
        let size = Size { w: u32::from_le_bytes([a, b, c, d]), h: u32::from_le_bytes([e, f, g, h]) };
        let len = size.w as usize * size.h as usize * 3;
        let (pixels, rest) = rest.split_at_checked(len).ok_or("the last picture is not whole")?;
        pictures.push(Picture { size, pixels: pixels.to_vec() });
        bytes = rest;
    }
    Ok(pictures)
}

/// Processor time of this process.
#[cfg(unix)]
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec, which is all that the function writes.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if result == 0 { time.tv_sec as f64 + time.tv_nsec as f64 / 1e9 } else { f64::NAN }
}

#[cfg(not(unix))]
fn cpu_seconds() -> f64 {
    f64::NAN
}
