//! Formats of weight files: where the tensors of a file lie, and how their elements are stored.
//!
//! | file | module |
//! |---|---|
//! | `model.safetensors` | [`safetensors`] |
//! | `pytorch_model.bin` | [`torch`], which reads the [`pickle`] in it |
//! | `*.gguf` | [`gguf`]; its quantized [`blocks`] |
//! | experts of GPT-OSS in any of the first two | [`mxfp4`] |

pub(crate) mod blocks;
pub(crate) mod gguf;
pub(crate) mod mxfp4;
mod pickle;
pub(crate) mod safetensors;
pub(crate) mod torch;
