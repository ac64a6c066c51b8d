// What every channel of every image is multiplied by, and what is then added: instance normalisation with the channels'
// means (Song and Ermon 2019). A workgroup looks at one image; each thread at every THREADS-th of its channels, twice, so
// that variances are of differences from the mean.

#total

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let image = group.x;
    let first = image * sizes.channels;
    #row
    var part = 0.0;
    for (var channel = thread; channel < sizes.channels; channel += THREADS) {
        let begin = (first + channel) * sizes.pixels;
        var sum = 0.0;
        for (var i = 0u; i < sizes.pixels; i++) {
            sum += f32(source[begin + i]);
        }
        let mean = sum / f32(sizes.pixels);
        sum = 0.0;
        for (var i = 0u; i < sizes.pixels; i++) {
            let rest = f32(source[begin + i]) - mean;
            sum += rest * rest;
        }
        // The mean and one over the deviation, until all means are there.
        affine[first + channel] = vec2<f32>(mean, inverseSqrt(sum / f32(sizes.pixels) + EPSILON));
        part += mean;
    }
    let mean = total(thread, part) / f32(sizes.channels);
    part = 0.0;
    for (var channel = thread; channel < sizes.channels; channel += THREADS) {
        let rest = affine[first + channel].x - mean;
        part += rest * rest;
    }
    let spread = max(f32(sizes.channels) - 1.0, 1.0);
    let among = inverseSqrt(total(thread, part) / spread + EPSILON);
    for (var channel = thread; channel < sizes.channels; channel += THREADS) {
        let found = affine[first + channel];
        let scale = f32(scales[row + channel]);
        let share = f32(scales[row + sizes.channels + channel]);
        let by = scale * found.y;
        let shift = f32(scales[row + 2u * sizes.channels + channel]) + scale * share * (found.x - mean) * among;
        affine[first + channel] = vec2<f32>(by, shift - found.x * by);
    }
}
