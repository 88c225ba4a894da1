// The files of a phone package, checked as they are read.

const FORMAT = "fedkeyboard-phone-package";

export class PhonePackage {
  /** @param {object} manifest @param {string} base the package's address */
  constructor(manifest, base) {
    this.manifest = manifest;
    this.base = base;
  }

  /**
   * Reads the manifest.
   *
   * @param {string} base ends with a slash
   * @returns {Promise<PhonePackage>}
   */
  static async open(base) {
    const content = await fetched(base, "manifest.json");
    const manifest = JSON.parse(new TextDecoder().decode(content));
    const { name, version } = manifest.format;
    if (name !== FORMAT || version.split(".")[0] !== "4") {
      throw new Error(`the package is ${name} ${version}; this page reads ${FORMAT} 4`);
    }
    if (!(await isSealed(content))) throw new Error("manifest.json: damaged");
    return new PhonePackage(manifest, base);
  }

  /** Shapes of the weights, by name. */
  get weightShapes() {
    const { outputs } = this.manifest.signatures["model_train.tflite"].get_weights;
    return Object.fromEntries(Object.entries(outputs).map(([name, { shape }]) => [name, shape]));
  }

  /**
   * @param {string} name of a file
   * @returns {Promise<Uint8Array>} its bytes, which have the manifest's sha256
   */
  async bytes(name) {
    const bytes = await fetched(this.base, name);
    if ((await sha256(bytes)) !== this.manifest.files[name].sha256) {
      throw new Error(`${name}: damaged, or of another package than manifest.json`);
    }
    return bytes;
  }

  async text(name) {
    return new TextDecoder("utf-8", { fatal: true }).decode(await this.bytes(name));
  }
}

export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Uint8Array} content of a manifest
 * @returns {Promise<boolean>} whether the sha256 in it, before the last four bytes, is that of its
 *   bytes with 64 zeros in the place of those digits
 */
export async function isSealed(content) {
  const begin = content.length - 4 - 64;
  if (begin < 0) return false;
  const zeros = content.slice().fill("0".charCodeAt(), begin, begin + 64);
  const digits = new TextDecoder().decode(content.subarray(begin, begin + 64));
  return digits === (await sha256(zeros));
}

async function fetched(base, name) {
  const response = await fetch(base + name);
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}
