//! A bit-exact port of NumPy's random generator, `numpy.random.default_rng(seed)`.
//!
//! The chain is a seed sequence, which spreads the seed over a pool of words, the PCG64 generator
//! (128-bit linear congruence, output by XSL-RR), and the ziggurat method for normal numbers. The
//! algorithms are those of NumPy 1.17 and later. NumPy may change its stream of `Generator` methods
//! between releases, but has not changed these.

mod ziggurat;

/// Initial value and multiplier of the hash constant while the pool is filled.
const FILL: (u32, u32) = (0x43b0_d7e5, 0x931e_8875);
/// Initial value and multiplier of the hash constant while words are drawn from the pool.
const DRAW: (u32, u32) = (0x8b51_f9dd, 0x58f3_8ded);
/// Factors of the two words that are mixed.
const MIX: (u32, u32) = (0xca01_f9dd, 0x4973_f715);

/// Factor of the linear congruence.
const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// Right edge of the ziggurat's base strip, and its inverse.
const TAIL: f64 = 3.654_152_885_361_009;
const INVERSE_TAIL: f64 = 0.273_661_237_329_758_3;

/// The generator, and the unused half of the last 32-bit draw.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    state: u128,
    increment: u128,
    half: Option<u32>,
}

impl Generator {
    /// `default_rng(seed)`.
    pub(crate) fn new(seed: u128) -> Self {
        let words: [u32; 4] = std::array::from_fn(|word| (seed >> (32 * word)) as u32);
        Self::from_words(&words)
    }

    /// Seeds from 32-bit words, the least significant first. Zeros at the end of the first four words
    /// change nothing.
    fn from_words(seed: &[u32]) -> Self {
        let [initial, stream] = seed_sequence(seed);
        let increment = (stream << 1) | 1;
        let mut generator = Self { state: 0, increment, half: None };
        generator.step();
        generator.state = generator.state.wrapping_add(initial);
        generator.step();
        generator
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    /// 64 random bits.
    fn word(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// 32 random bits: a 64-bit draw serves two of these, its low half first. 64-bit draws in between
    /// do not use the waiting half.
    fn half_word(&mut self) -> u32 {
        if let Some(high) = self.half.take() {
            return high;
        }
        let word = self.word();
        self.half = Some((word >> 32) as u32);
        word as u32
    }

    /// `random()`: uniform in [0, 1), 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// `normal()`: mean 0, deviation 1.
    ///
    /// `exp` and `ln_1p` are the platform's, as in NumPy. They decide about one draw in a hundred, and
    /// give the value of one in three thousand.
    pub(crate) fn normal(&mut self) -> f64 {
        // NumPy returns mean + deviation * x, which makes a negative zero positive.
        0.0 + self.standard_normal()
    }

    fn standard_normal(&mut self) -> f64 {
        loop {
            let word = self.word();
            let strip = (word & 0xff) as usize;
            let negative = word >> 8 & 1 == 1;
            let mantissa = word >> 9 & 0x000f_ffff_ffff_ffff;
            let signed = |x: f64, negative: bool| if negative { -x } else { x };
            let x = signed(mantissa as f64 * f64::from_bits(ziggurat::WI_BITS[strip]), negative);
            if mantissa < ziggurat::KI[strip] {
                return x;
            }
            if strip == 0 {
                // Another bit gives the sign of the tail.
                return signed(self.tail(), mantissa >> 8 & 1 == 1);
            }
            let (outer, inner) = (density(strip - 1), density(strip));
            if (outer - inner) * self.uniform() + inner < (-0.5 * x * x).exp() {
                return x;
            }
        }
    }

    /// A normal number beyond the base strip, by Marsaglia's method.
    fn tail(&mut self) -> f64 {
        loop {
            let x = -INVERSE_TAIL * (-self.uniform()).ln_1p();
            let y = -(-self.uniform()).ln_1p();
            if y + y > x * x {
                return TAIL + x;
            }
        }
    }

    /// `choice([-1, 1])`, true for 1. Lemire's method for a range of two is the highest bit of a 32-bit
    /// draw.
    pub(crate) fn coin(&mut self) -> bool {
        self.half_word() >> 31 == 1
    }
}

fn density(strip: usize) -> f64 {
    f64::from_bits(ziggurat::FI_BITS[strip])
}

/// `SeedSequence(seed)`: initial state and stream of the generator.
fn seed_sequence(seed: &[u32]) -> [u128; 2] {
    let mut constant = FILL.0;
    let mut hash = |value: u32| scramble(value, &mut constant, FILL.1);
    let mut pool: [u32; 4] =
        std::array::from_fn(|word| hash(seed.get(word).copied().unwrap_or_default()));
    for from in 0..4 {
        for to in (0..4).filter(|&to| to != from) {
            pool[to] = mix(pool[to], hash(pool[from]));
        }
    }
    for &word in seed.get(4..).unwrap_or_default() {
        for to in &mut pool {
            *to = mix(*to, hash(word));
        }
    }
    let mut constant = DRAW.0;
    let mut draws = pool.iter().cycle().map(|&word| scramble(word, &mut constant, DRAW.1));
    // Two words make 64 bits, the low one first; two of those make 128 bits, the high one first.
    let mut half = || {
        let low = draws.next().unwrap_or_default();
        u128::from(draws.next().unwrap_or_default()) << 32 | u128::from(low)
    };
    std::array::from_fn(|_| half() << 64 | half())
}

fn scramble(value: u32, constant: &mut u32, factor: u32) -> u32 {
    let value = value ^ *constant;
    *constant = constant.wrapping_mul(factor);
    let value = value.wrapping_mul(*constant);
    value ^ (value >> 16)
}

fn mix(x: u32, y: u32) -> u32 {
    let mixed = MIX.0.wrapping_mul(x).wrapping_sub(MIX.1.wrapping_mul(y));
    mixed ^ (mixed >> 16)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn golden() -> Value {
        serde_json::from_str(include_str!("../tests/data/numpy-rng.json")).unwrap()
    }

    fn hex<const N: usize>(value: &Value) -> u128 {
        let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
        assert!(digits.len() <= N);
        u128::from_str_radix(digits, 16).unwrap()
    }

    fn floats(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    }

    fn signs(value: &Value) -> Vec<bool> {
        value.as_array().unwrap().iter().map(|x| x.as_i64().unwrap() == 1).collect()
    }

    /// The 32-bit words of a decimal number of any length.
    fn words(decimal: &str) -> Vec<u32> {
        let mut words = vec![0u32];
        for digit in decimal.bytes() {
            let mut carry = u64::from(digit - b'0');
            for word in &mut words {
                carry += u64::from(*word) * 10;
                *word = carry as u32;
                carry >>= 32;
            }
            if carry > 0 {
                words.push(carry as u32);
            }
        }
        words
    }

    fn draw<T>(count: usize, mut one: impl FnMut() -> T) -> Vec<T> {
        (0..count).map(|_| one()).collect()
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn every_stream_is_numpys() {
        let golden = golden();
        let seeds = golden["seeds"].as_array().unwrap();
        assert_eq!(seeds.len(), 9);
        for case in seeds {
            let seed = case["seed"].as_str().unwrap();
            let new = || Generator::from_words(&words(seed));
            let four: Vec<u128> =
                case["seed_sequence_u64x4"].as_array().unwrap().iter().map(hex::<16>).collect();
            assert_eq!(
                seed_sequence(&words(seed)),
                [four[0] << 64 | four[1], four[2] << 64 | four[3]],
                "seed {seed}"
            );
            assert_eq!(new().state, hex::<32>(&case["state"]), "seed {seed}");
            assert_eq!(new().increment, hex::<32>(&case["inc"]), "seed {seed}");

            let mut generator = new();
            for word in case["u64"].as_array().unwrap() {
                assert_eq!(u128::from(generator.word()), hex::<16>(word), "seed {seed}");
            }
            let (mut generator, uniform) = (new(), floats(&case["random"]));
            assert_eq!(draw(uniform.len(), || generator.uniform()), uniform, "seed {seed}");
            let (mut generator, normal) = (new(), floats(&case["normal"]));
            let ours = draw(normal.len(), || generator.normal());
            assert_eq!(bits(&ours), bits(&normal), "seed {seed}");
            let (mut generator, choice) = (new(), signs(&case["choice_pm1"]));
            assert_eq!(draw(choice.len(), || generator.coin()), choice, "seed {seed}");

            let (mut generator, mixed) = (new(), &case["mixed"]);
            assert_eq!(draw(3, || generator.normal()), floats(&mixed["normal3"]), "seed {seed}");
            assert_eq!(draw(5, || generator.coin()), signs(&mixed["choice5"]), "seed {seed}");
            assert_eq!(draw(2, || generator.normal()), floats(&mixed["normal2"]), "seed {seed}");
            assert_eq!(draw(4, || generator.coin()), signs(&mixed["choice4"]), "seed {seed}");
        }
    }

    #[test]
    fn numbers_are_seeds_of_four_words() {
        for seed in [0u128, 42, u128::from(u32::MAX) + 6, 1_267_650_600_228_229_401_496_703_205_379]
        {
            let (number, words) = (Generator::new(seed), words(&seed.to_string()));
            assert_eq!(number.state, Generator::from_words(&words).state, "seed {seed}");
        }
    }

    /// All normals of a long run, including tails and rejections. The few that come from the platform's
    /// `exp` and `ln_1p` are compared to the last bit on the platform of the golden values.
    #[test]
    fn two_hundred_thousand_normals() {
        let golden = &golden()["normal_seed42_200000"];
        let mut generator = Generator::new(42);
        let normals = draw(200_000, || generator.normal());
        let tails: Vec<usize> = (0..normals.len()).filter(|&i| normals[i].abs() > TAIL).collect();
        let expected = golden["tail_index"].as_array().unwrap();
        let expected: Vec<usize> = expected.iter().map(|i| i.as_u64().unwrap() as usize).collect();
        assert_eq!(tails, expected);
        for (&index, value) in tails.iter().zip(floats(&golden["tail_value"])) {
            assert!((normals[index] - value).abs() <= 2.0 * f64::EPSILON * value.abs());
        }
        assert_eq!(normals[normals.len() - 3..], floats(&golden["last"]));
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            let checksum = normals
                .iter()
                .zip(1u64..)
                .fold(0, |sum, (normal, place)| sum ^ normal.to_bits().wrapping_mul(place));
            assert_eq!(u128::from(checksum), hex::<16>(&golden["xor_of_bits_times_index_plus_1"]));
        }
    }
}
