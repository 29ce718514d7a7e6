//! Attention as one operation, and the softmax of its scores.

use std::sync::OnceLock;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, D, Device, Layout, Result, Shape, Tensor, backend::BackendStorage, bail,
};

use super::with_slices;
use crate::blocks::kernels::{self, Softmax};

/// What heads read: `softmax(scale * q k^T + bias) v` of queries `[batch, heads, queries, width]`, keys and values
/// `[batch, kv_heads, keys, width]`, in the shape of the queries. No gradient flows into the bias.
pub(in crate::blocks) fn attend(
    [query, key, value]: [&Tensor; 3],
    softmax: Softmax,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let op = Attend {
        softmax,
        bias: constant(bias)?,
        shares: OnceLock::new(),
    };
    query
        .contiguous()?
        .apply_op3(&key.contiguous()?, &value.contiguous()?, op)
}

/// `softmax(scale * scores + bias)` over the last dimension of `[batch, heads, queries, keys]`. No gradient flows into the
/// bias.
pub(in crate::blocks) fn softmax(scores: &Tensor, softmax: Softmax, bias: Option<&Tensor>) -> Result<Tensor> {
    let bias = constant(bias)?;
    scores.contiguous()?.apply_op1(OfScores { softmax, bias })
}

fn constant(bias: Option<&Tensor>) -> Result<Option<Tensor>> {
    bias.map(|bias| bias.detach().contiguous()).transpose()
}

/// The softmax of scores in place.
fn softmax_of(softmax: &Softmax, scores: &mut [f32], dims: &[usize], bias: Option<&Tensor>) -> Result<()> {
    match bias {
        None => softmax.run(scores, dims, None),
        Some(bias) => with_slices([bias], |[numbers]| {
            softmax.run(scores, dims, Some((numbers, bias.dims())))
        })?,
    }
}

/// The gradient of scores, given that of their softmax.
fn gradient_of_scores(gradient: &Tensor, shares: &Tensor, scale: f32) -> Result<Tensor> {
    let keys = shares.dim(D::Minus1)?;
    let of_scores = with_slices([&gradient.contiguous()?, shares], |[gradient, shares]| {
        kernels::softmax_gradient(gradient, shares, keys, scale)
    })?;
    Tensor::from_vec(of_scores, gradient.shape(), &Device::Cpu)
}

struct OfScores {
    softmax: Softmax,
    bias: Option<Tensor>,
}

impl CustomOp1 for OfScores {
    fn name(&self) -> &'static str {
        "softmax-of-scores"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut shares = kernels::slice(scores, layout)?.to_vec();
        softmax_of(&self.softmax, &mut shares, layout.dims(), self.bias.as_ref())?;
        Ok((CpuStorage::F32(shares), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, shares: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        gradient_of_scores(gradient, &shares.detach(), self.softmax.scale).map(Some)
    }
}

struct Attend {
    softmax: Softmax,
    bias: Option<Tensor>,
    /// The attention `[batch, kv_heads, heads / kv_heads * queries, keys]`.
    shares: OnceLock<Tensor>,
}

impl CustomOp3 for Attend {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        query: &CpuStorage,
        query_layout: &Layout,
        key: &CpuStorage,
        key_layout: &Layout,
        value: &CpuStorage,
        value_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, heads, queries, width) = query_layout.shape().dims4()?;
        let (_, kv_heads, keys, value_width) = value_layout.shape().dims4()?;
        // The queries of a group stand one under the other, so that its key matrix is used once and never copied.
        let rows = heads / kv_heads.max(1) * queries;
        let grouped = |columns| (batch * kv_heads, rows, columns);
        let query_layout = Layout::contiguous_with_offset(grouped(width), query_layout.start_offset());
        let key_layout = Layout::contiguous_with_offset((batch * kv_heads, keys, width), key_layout.start_offset());
        let sizes = (batch * kv_heads, rows, keys, width);
        let scores = query.matmul(key, sizes, &query_layout, &key_layout.transpose(1, 2)?)?;
        let CpuStorage::F32(mut shares) = scores else {
            bail!("attention: expected f32")
        };
        let dims = [batch, heads, queries, keys];
        softmax_of(&self.softmax, &mut shares, &dims, self.bias.as_ref())?;
        let shares = CpuStorage::F32(shares);
        let value_layout =
            Layout::contiguous_with_offset((batch * kv_heads, keys, value_width), value_layout.start_offset());
        let sizes = (batch * kv_heads, rows, value_width, keys);
        let context = shares.matmul(value, sizes, &Layout::contiguous(grouped(keys)), &value_layout)?;
        if let CpuStorage::F32(shares) = shares {
            let shares = Tensor::from_vec(shares, (batch, kv_heads, rows, keys), &Device::Cpu)?;
            self.shares.get_or_init(|| shares);
        }
        Ok((context, (batch, heads, queries, value_width).into()))
    }

    fn bwd(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(shares) = self.shares.get() else {
            bail!("attention: nothing was computed")
        };
        let wanted = [query, key, value].map(Tensor::track_op);
        let dims = query.dims();
        let (batch, kv_heads, rows, _) = shares.dims4()?;
        let group = |x: &Tensor| x.detach().contiguous()?.reshape((batch, kv_heads, rows, ()));
        let (gradient, query) = (group(gradient)?, group(query)?);
        let (key, value) = (key.detach(), value.detach());
        let of_value = match wanted[2] {
            true => Some(shares.t()?.matmul(&gradient)?),
            false => None,
        };
        if !wanted[0] && !wanted[1] {
            return Ok((None, None, of_value));
        }
        let of_shares = gradient.matmul(&value.t()?)?;
        let of_scores = gradient_of_scores(&of_shares, shares, self.softmax.scale)?;
        let of_query = match wanted[0] {
            true => Some(of_scores.matmul(&key)?.reshape(dims)?),
            false => None,
        };
        let of_key = match wanted[1] {
            true => Some(of_scores.t()?.matmul(&query)?),
            false => None,
        };
        Ok((of_query, of_key, of_value))
    }
}
