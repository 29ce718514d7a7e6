//! Interventions: changes inside a model as data, and the tap that carries them out.
//!
//! An [`Intervention`] names an [`Edit`] and the sequences of a batch it is for. [`Interventions`] is a list of them
//! as a [`Tap`](crate::Tap): several act at once, in their order, and different sequences of one batch may get
//! different ones. As data they can be saved, sent and listed. The states that a patch takes from another run are
//! given separately ([`Interventions::with_donor`]).
//!
//! The same list acts in one pass and in every step of a generation. Tokens are counted over the real ones of their
//! sequence, and sequences as they were given, whatever the batch, its padding or its beams: what is generated under an
//! edit is what one pass over the finished text says under that edit.
//!
//! | question | edit | source |
//! |---|---|---|
//! | What if this head were not there? | [`Edit::HeadMask`] | Michel et al. 2019, "Are sixteen heads really better than one?" |
//! | What if it attended elsewhere? | [`Edit::AttentionRow`], [`Edit::AttentionCells`], [`Edit::AttentionFactor`] | Strobelt et al. 2018, "Seq2Seq-Vis" |
//! | Does information flow along this edge? | [`Edit::KnockOut`], [`Edit::KnockOutEdges`] | Geva et al. 2023, "Dissecting recall of factual associations" |
//! | Which state carries the difference between two inputs? | [`Edit::Patch`] | Vig et al. 2020, "Causal mediation analysis"; Meng et al. 2022, "Locating and editing factual associations" |
//! | What does this direction do? | [`Edit::Add`], [`Edit::Scale`] | Turner et al. 2023, "Steering language models with activation engineering" |
//! | What if this part said what it says on average? | [`Edit::Mean`], [`Means`] | Wang et al. 2023, "Interpretability in the wild" |
//! | How much does the output depend on this state? | [`Edit::Noise`] | Meng et al. 2022, causal tracing |
//! | Does the model need to know where tokens stand? | [`Edit::RemovePositions`], [`Edit::ShufflePositions`] | Sinha et al. 2021, "Masked language modeling and the distributional hypothesis" |

mod attention;
mod check;
mod edit;
mod means;
mod patch;
mod tap;
mod vectors;
mod view;

pub use self::{
    edit::{Edit, Heads, Intervention, Selection},
    means::Means,
    tap::Interventions,
};
