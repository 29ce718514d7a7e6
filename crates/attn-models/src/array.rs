//! From tensors to arrays.

use attn_core::ndarray::{Array, Dimension, IxDyn};
use candle_core::{DType, Tensor};

use crate::{Error, Result};

/// The numbers of a tensor as an array of f32 with a fixed number of dimensions, copied from its device.
///
/// ```
/// use attn_models::{attn_core::ndarray::Array2, candle::{Device, Tensor}, to_array};
///
/// let tensor = Tensor::arange(0_f32, 6.0, &Device::Cpu)?.reshape((2, 3))?;
/// let array: Array2<f32> = to_array(&tensor.t()?)?;
/// assert_eq!(array[[2, 1]], 5.0);
/// assert!(to_array::<attn_models::attn_core::ndarray::Ix3>(&tensor).is_err());
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// [`Error::Input`] for a tensor with another number of dimensions, [`Error::Candle`] for one that cannot be read.
pub fn to_array<D: Dimension>(tensor: &Tensor) -> Result<Array<f32, D>> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let wrong = |_| {
        let expected = match D::NDIM {
            Some(dimensions) => format!("{dimensions} dimensions"),
            None => "any dimensions".to_owned(),
        };
        Error::input("tensor", expected, format!("shape {:?}", tensor.dims()))
    };
    Array::from_shape_vec(IxDyn(tensor.dims()), values)
        .and_then(Array::into_dimensionality)
        .map_err(wrong)
}
