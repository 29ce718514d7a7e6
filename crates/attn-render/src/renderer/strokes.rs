//! Curves to triangles, once, in data coordinates; the shader adds the width in pixels.

use lyon::{
    math::point,
    path::Path as LyonPath,
    tessellation::{
        BuffersBuilder, LineCap, LineJoin, Side, StrokeOptions, StrokeTessellator, StrokeVertex, VertexBuffers,
    },
};

use super::pipelines::CurveVertex;
use crate::{
    Error,
    scene::{Curve, Path},
};

/// Largest distance between a curve and its straight pieces, as a share of the extent of the curve.
const TOLERANCE: f32 = 2e-4;

pub(crate) fn tessellate(curves: &[Curve]) -> Result<VertexBuffers<CurveVertex, u32>, Error> {
    let mut buffers = VertexBuffers::new();
    let mut tessellator = StrokeTessellator::new();
    for curve in curves {
        let Some((path, extent)) = lyon_path(&curve.path) else {
            continue;
        };
        let options = StrokeOptions::tolerance((TOLERANCE * extent).max(f32::MIN_POSITIVE))
            .with_line_width(TOLERANCE * extent)
            .with_line_join(LineJoin::Bevel)
            .with_line_cap(LineCap::Butt);
        let vertex = |vertex: StrokeVertex<'_, '_>| CurveVertex {
            position: vertex.position_on_path().to_array(),
            normal: vertex.normal().to_array(),
            width_side: [curve.width, if vertex.side() == Side::Positive { 1.0 } else { -1.0 }],
            color: curve.color,
            panel: curve.panel.into(),
        };
        tessellator
            .tessellate_path(&path, &options, &mut BuffersBuilder::new(&mut buffers, vertex))
            .map_err(|error| Error::Device(format!("a curve cannot be tessellated: {error}")))?;
    }
    Ok(buffers)
}

/// The path and the extent of its control points; `None` if it is empty, a single spot or not finite.
fn lyon_path(path: &Path) -> Option<(LyonPath, f32)> {
    let points: &[[f32; 2]] = match path {
        Path::Cubic(points) => points,
        Path::Line(points) => points,
    };
    let bounds = crate::geometry::Bounds::around(points.iter().map(|p| [p[0], p[1], 0.0]));
    let extent = bounds.extent(0).max(bounds.extent(1));
    let usable =
        points.len() > 1 && points.iter().flatten().all(|v| v.is_finite()) && extent > 0.0 && extent.is_finite();
    if !usable {
        return None;
    }
    let at = |i: usize| point(points[i][0], points[i][1]);
    let mut builder = LyonPath::builder();
    builder.begin(at(0));
    match path {
        Path::Cubic(_) => {
            builder.cubic_bezier_to(at(1), at(2), at(3));
        }
        Path::Line(_) => {
            for i in 1..points.len() {
                builder.line_to(at(i));
            }
        }
    }
    builder.end(false);
    Some((builder.build(), extent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Color;

    fn curve(path: Path) -> Curve {
        Curve {
            panel: 1,
            path,
            color: Color::hex(0xFF_0000),
            width: 2.0,
        }
    }

    #[test]
    fn vertices_lie_on_the_curve_in_pairs() {
        let control = [[0.0, 0.0], [50.0, 0.0], [50.0, 80.0], [100.0, 80.0]];
        let buffers = tessellate(&[curve(Path::Cubic(control))]).unwrap();
        assert!(buffers.vertices.len() > 20);
        for vertex in &buffers.vertices {
            let nearest = (0..=2000)
                .map(|i| {
                    let (t, s) = (i as f32 / 2000.0, 1.0 - i as f32 / 2000.0);
                    let weights = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
                    let at = |axis: usize| (0..4).map(|k| weights[k] * control[k][axis]).sum::<f32>();
                    (at(0) - vertex.position[0]).hypot(at(1) - vertex.position[1])
                })
                .fold(f32::MAX, f32::min);
            assert!(nearest < 0.1, "{vertex:?} is {nearest} away");
        }
        let right = buffers
            .vertices
            .iter()
            .filter(|vertex| vertex.width_side[1] > 0.0)
            .count();
        assert!(right * 2 >= buffers.vertices.len() - 2 && right * 2 <= buffers.vertices.len() + 2);
    }

    #[test]
    fn odd_curves_are_left_out() {
        let odd = [
            Path::Line(vec![]),
            Path::Line(vec![[1.0, 1.0]]),
            Path::Line(vec![[1.0, 1.0]; 3]),
            Path::Cubic([[f32::NAN, 0.0], [0.0; 2], [1.0; 2], [2.0; 2]]),
        ];
        assert!(tessellate(&odd.map(curve)).unwrap().vertices.is_empty());
    }
}
