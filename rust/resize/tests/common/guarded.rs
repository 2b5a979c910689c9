//! Memory against pages that may not be touched.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// Pages that may be used, between two that may not.
pub(crate) struct Guarded {
    base: *mut libc::c_void,
    page: usize,
    len: usize,
}

impl Guarded {
    pub(crate) fn new(min_len: usize) -> Self {
        // SAFETY: sysconf has no preconditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let len = min_len.next_multiple_of(page);
        // SAFETY: a new anonymous mapping, of pages that may not be touched; the middle ones are then opened.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
            let base = libc::mmap(std::ptr::null_mut(), len + 2 * page, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(base.byte_add(page), len, libc::PROT_READ | libc::PROT_WRITE), 0);
            base
        };
        Self { base, page, len }
    }

    /// `len` bytes that end, or begin, at an untouchable page.
    pub(crate) fn slice(&mut self, len: usize, at_end: bool) -> &mut [u8] {
        assert!(len <= self.len);
        let start = self.page + if at_end { self.len - len } else { 0 };
        // SAFETY: the bytes lie in the open pages of the mapping, which live as long as `self`, borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.base.byte_add(start).cast(), len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, and no slice of it is left.
        unsafe { libc::munmap(self.base, self.len + 2 * self.page) };
    }
}
