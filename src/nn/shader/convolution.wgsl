// A convolution of square kernels. A workgroup makes ACROSS x DOWN pixels of 4 * LANES channels; a thread a row of
// PIXELS of them of four channels. The part of the source and the kernels that CHUNK channels need lie in shared memory.

var<workgroup> seen: array<T, CHUNK * PATCH>;
var<workgroup> kernels: array<vec4<T>, CHUNK * TAPS * LANES>;

fn parameter(output: u32, k: u32) -> T {
    if (output < sizes.outputs && k < sizes.inputs * TAPS) {
        return weight[output * (sizes.inputs * TAPS) + k];
    }
    return T(0);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let image = tile.z;
    let first = tile.y * (4u * LANES);
    let left = tile.x % (sizes.width / ACROSS) * ACROSS;
    let top = tile.x / (sizes.width / ACROSS) * DOWN;
    let lane = thread / PLACES;
    let place = thread % PLACES;
    let x = place % (ACROSS / PIXELS) * PIXELS;
    let y = place / (ACROSS / PIXELS);
    #sums
    for (var begin = 0u; begin < sizes.inputs; begin += CHUNK) {
        for (var i = thread; i < CHUNK * PATCH; i += THREADS) {
            let channel = begin + i / PATCH;
            let row = i32(top * STRIDE + i % PATCH / PATCH_ACROSS) - i32(PAD);
            let column = i32(left * STRIDE + i % PATCH_ACROSS) - i32(PAD);
            // Zeros around the image are zeros of what the kernels see: not normalised.
            var value = 0.0;
            if (channel < sizes.inputs && row >= 0 && row < i32(UP * sizes.source_height) && column >= 0 && column < i32(UP * sizes.source_width)) {
                let plane = image * sizes.inputs + channel;
                value = f32(source[(plane * sizes.source_height + u32(row) / UP) * sizes.source_width + u32(column) / UP]);
                #if NORMED
                let by = affine[plane];
                value = value * by.x + by.y;
                #end
                #activate
            }
            seen[i] = T(value);
        }
        for (var i = thread; i < CHUNK * TAPS * LANES; i += THREADS) {
            let k = i % (CHUNK * TAPS);
            let part = i / (CHUNK * TAPS);
            let output = first + 4u * part;
            let at = begin * TAPS + k;
            kernels[k * LANES + part] = vec4<T>(
                parameter(output, at), parameter(output + 1u, at), parameter(output + 2u, at), parameter(output + 3u, at));
        }
        workgroupBarrier();
        #partial
        for (var c = 0u; c < CHUNK; c++) {
            for (var row = 0u; row < SIDE; row++) {
                let corner = c * PATCH + (y * PATCH_ACROSS + x) * STRIDE + row * DILATION * PATCH_ACROSS;
                let k = (c * TAPS + row * SIDE) * LANES + lane;
                #products
            }
        }
        #total
        workgroupBarrier();
    }
    let output = first + 4u * lane;
    #results
}
