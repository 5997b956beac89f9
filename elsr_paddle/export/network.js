"use strict";

const VERTICES = `#version 300 es
void main() {
  // One triangle that covers the picture.
  gl_Position = vec4(vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0), 0.0, 1.0);
}`;

/* Runs an exported network in WebGL 2, from a picture or the frame of a film onto a canvas.
 *
 * `description` is what elsr-paddle wrote: `scale`, `slots` (how many textures hold features) and
 * the shaders `input`, `passes`, `output` and `bicubic`, each with the textures that it `reads`, by
 * name and number, and `writes`. Texture "picture" holds the picture at its own resolution.
 */
class Network {
  constructor(canvas, description) {
    this.canvas = canvas;
    this.description = description;
    this.gl = canvas.getContext("webgl2", {
      alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true,
      powerPreference: "high-performance",
    });
    if (!this.gl) throw new Error("This browser has no WebGL 2, which the network is computed with.");
    const floats = ["EXT_color_buffer_float", "EXT_color_buffer_half_float"];
    if (!floats.some((name) => this.gl.getExtension(name))) {
      throw new Error("This browser's GPU cannot draw numbers with fractions "
        + "(EXT_color_buffer_float), which the network needs.");
    }
    const made = (shader) => ({ ...shader, program: this.program(shader.source) });
    this.input = made(description.input);
    this.passes = description.passes.map(made);
    this.output = made(description.output);
    this.bicubic = made(description.bicubic);
    // Asked only now, so that the browser can compile them side by side.
    for (const shader of [this.input, ...this.passes, this.output, this.bicubic]) {
      this.check(shader.program);
    }
    this.source = this.texture();
    this.gl.bindVertexArray(this.gl.createVertexArray());
  }

  get scale() { return this.description.scale; }

  program(source) {
    const { gl } = this, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTICES], [gl.FRAGMENT_SHADER, source]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    return program;
  }

  check(program) {
    const { gl } = this;
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      const logs = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
      throw new Error(`The GPU's compiler refused the network: ${logs.join(" ")}`);
    }
  }

  texture() {
    const { gl } = this, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const [name, value] of [
      [gl.TEXTURE_MIN_FILTER, gl.NEAREST], [gl.TEXTURE_MAG_FILTER, gl.NEAREST],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
    ]) gl.texParameteri(gl.TEXTURE_2D, name, value);
    return texture;
  }

  /* Width and height, in pixels of the source, of the part that this GPU and canvas take. */
  fitting(width, height) {
    const { gl, scale } = this;
    const side = Math.floor(gl.getParameter(gl.MAX_TEXTURE_SIZE) / scale);
    const most = this.description.most_pixels / scale ** 2;
    const shrink = Math.min(1, Math.sqrt(most / (width * height)));
    return [width, height].map((length) => Math.max(1, Math.floor(
      Math.min(length * shrink, side))));
  }

  /* Make textures for a source of this size, of which the middle is taken where it is too large. */
  resize(sourceWidth, sourceHeight) {
    const { gl } = this, [width, height] = this.fitting(sourceWidth, sourceHeight);
    this.corner = [(sourceWidth - width) >> 1, (sourceHeight - height) >> 1];
    this.whole = width === sourceWidth && height === sourceHeight;
    if (this.width === width && this.height === height) return;
    [this.width, this.height] = [width, height];
    this.canvas.width = width * this.scale;
    this.canvas.height = height * this.scale;
    for (const old of this.textures || []) gl.deleteTexture(old);
    this.textures = Array.from({ length: this.description.slots + 1 }, () => {
      const texture = this.texture();
      gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA16F, width, height);
      return texture;
    });
    for (const shader of [this.input, ...this.passes]) {
      gl.deleteFramebuffer(shader.target || null);
      shader.target = this.framebuffer(shader.writes);
    }
  }

  framebuffer(writes) {
    const { gl } = this, target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    const places = writes.map((slot, index) => {
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + index, gl.TEXTURE_2D,
        this.textures[slot], 0);
      return gl.COLOR_ATTACHMENT0 + index;
    });
    gl.drawBuffers(places);
    if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE && !gl.isContextLost()) {
      throw new Error("This browser's GPU cannot draw to textures of 16-bit floats.");
    }
    return target;
  }

  /* Take a picture: an ImageBitmap, or a <video>, whose current frame is taken. */
  load(source) {
    const { gl } = this;
    this.resize(source.videoWidth || source.width, source.videoHeight || source.height);
    gl.bindTexture(gl.TEXTURE_2D, this.source);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, source);
    this.draw(this.input, this.input.target, this.width, this.height);
  }

  /* Draw the network's picture, or bicubic's, onto the canvas. */
  enlarge() {
    for (const shader of this.passes) this.draw(shader, shader.target, this.width, this.height);
    this.draw(this.output, null, this.canvas.width, this.canvas.height);
  }

  interpolate() {
    this.draw(this.bicubic, null, this.canvas.width, this.canvas.height);
  }

  draw(shader, target, width, height) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.viewport(0, 0, width, height);
    gl.useProgram(shader.program);
    shader.reads.forEach(([name, slot], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, name === "source" ? this.source : this.textures[slot]);
      gl.uniform1i(gl.getUniformLocation(shader.program, name), unit);
    });
    const corner = gl.getUniformLocation(shader.program, "corner");
    if (corner) gl.uniform2i(corner, ...this.corner);
    gl.activeTexture(gl.TEXTURE0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}
