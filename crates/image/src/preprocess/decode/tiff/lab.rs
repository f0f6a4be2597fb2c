//! CIE L*a*b* of 8 bits.

pub(super) fn to_rgb(samples: &[u8]) -> Vec<u8> {
    samples.as_chunks().0.iter().flat_map(|&pixel| rgb(pixel)).collect()
}

fn rgb([lightness, a, b]: [u8; 3]) -> [u8; 3] {
    let lightness = f64::from(lightness) / 2.55;
    let [a, b] = [a, b].map(|code| f64::from(code.cast_signed()));
    let y = (lightness + 16.0) / 116.0;
    let linear = |value: f64| {
        if value > 24.0 / 116.0 { value.powi(3) } else { (108.0 / 841.0) * (value - 16.0 / 116.0) }
    };
    // The white of the profile connection space, D50.
    let xyz = [0.9642 * linear(y + a / 500.0), linear(y), 0.8249 * linear(y - b / 200.0)];
    const TO_SRGB: [[f64; 3]; 3] = [
        [3.134_187_2, -1.617_209_1, -0.490_694_5],
        [-0.978_749_0, 1.916_130_1, 0.033_433_4],
        [0.071_964_0, -0.228_994_0, 1.405_754_3],
    ];
    TO_SRGB.map(|row| {
        let light: f64 = row.iter().zip(xyz).map(|(factor, value)| factor * value).sum();
        let light = light.clamp(0.0, 1.0);
        let code = if light <= 0.003_130_8 {
            12.92 * light
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        };
        (255.0 * code).round() as u8
    })
}
