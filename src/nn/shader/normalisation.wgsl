// What every channel of every image is multiplied by, and what is then added: group normalisation (Wu and He 2018). A
// workgroup looks twice at one group of one image, so that the variance is of differences from the mean.

#total

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first = group.y * sizes.channels + group.x * sizes.share;
    let begin = first * sizes.pixels / STEP;
    let count = sizes.share * sizes.pixels / STEP;
    var part = 0.0;
    for (var i = thread; i < count; i += THREADS) {
        let value = F(source[begin + i]);
        part += sum_of(value);
    }
    let mean = total(thread, part) / f32(sizes.share * sizes.pixels);
    part = 0.0;
    for (var i = thread; i < count; i += THREADS) {
        let value = F(source[begin + i]) - mean;
        part += sum_of(value * value);
    }
    let scale = inverseSqrt(total(thread, part) / f32(sizes.share * sizes.pixels) + EPSILON);
    for (var i = thread; i < sizes.share; i += THREADS) {
        let channel = group.x * sizes.share + i;
        var by = weight[channel] * scale;
        var plus = bias[channel] - mean * by;
        #if SCALE_SHIFT
        #row
        let more = 1.0 + f32(scale_shift[row + channel]);
        by *= more;
        plus = plus * more + f32(scale_shift[row + sizes.channels + channel]);
        #end
        affine[first + i] = vec2<f32>(by, plus);
    }
}
