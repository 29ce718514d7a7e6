//! A number that stands for some bytes.

/// A digest of 128 bits: FNV-1a (Fowler, Noll and Vo). It tells different inputs apart and finds damage; it is no
/// protection against inputs made to look the same.
pub(crate) struct Digest(u128);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }

    /// A text and its end, so that two texts are not the same as their sum.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }

    pub(crate) fn hex(&self) -> String {
        format!("{:032x}", self.0)
    }
}
