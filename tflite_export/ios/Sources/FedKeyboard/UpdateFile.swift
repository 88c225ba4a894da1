import Foundation

/// `metadata.json` of a personal checkpoint or an update (docs/package.md).
struct UpdateMetadata: Codable {
    var format = "fedkeyboard.update"
    var version = "1.0"
    let purpose: String
    let weightsSHA256: String
    let vocabularySHA256: String
    let weight: Double
    let sentences: Int
    let steps: Int
    let loss: Double?
    let learningRate: Float
    let clippingNorm: Float
    let batchSize: Int
    let epochs: Int

    enum CodingKeys: String, CodingKey {
        case format, version, purpose, weight, sentences, steps, loss, epochs
        case weightsSHA256 = "weights_sha256"
        case vocabularySHA256 = "vocabulary_sha256"
        case learningRate = "learning_rate"
        case clippingNorm = "clipping_norm"
        case batchSize = "batch_size"
    }
}

/// The file format `fedkeyboard.update`: a ZIP of NumPy arrays, the differences of the weights.
enum UpdateFile {
    private static let metadataName = "metadata.json"

    /// Writes `url` whole or not at all.
    static func write(_ url: URL, _ metadata: UpdateMetadata, _ difference: Weights, _ shapes: [String: [Int]]) throws {
        var entries = [(name: metadataName, content: try JSONEncoder().encode(metadata))]
        for name in Weights.names {
            entries.append((name + ".npy", array(difference.values[name] ?? [], shapes[name] ?? [])))
        }
        let partial = url.appendingPathExtension("partial")
        try Archive.write(entries).write(to: partial, options: .completeFileProtectionUntilFirstUserAuthentication)
        let handle = try FileHandle(forUpdating: partial)
        // Else the rename may reach the disk before the contents do.
        handle.synchronizeFile()
        handle.closeFile()
        guard rename(partial.path, url.path) == 0 else {
            throw FedKeyboardError("\(url.lastPathComponent): cannot be written")
        }
    }

    /// Reads a file's content; throws if it is damaged or something else. Its difference is read only
    /// when asked for, since one of another vocabulary has other shapes.
    static func read(_ content: Data) throws -> (metadata: UpdateMetadata, difference: ([String: [Int]]) throws -> Weights) {
        let entries = try Archive.read(content)
        let metadata = try JSONDecoder().decode(UpdateMetadata.self, from: entries[metadataName] ?? Data())
        guard metadata.format == "fedkeyboard.update", metadata.version.hasPrefix("1.") else {
            throw FedKeyboardError("this app reads fedkeyboard.update 1, not \(metadata.format) \(metadata.version)")
        }
        return (metadata, { shapes in
            var values: [String: [Float]] = [:]
            for (name, shape) in shapes { values[name] = try floats(entries[name + ".npy"] ?? Data(), shape) }
            return Weights(values: values)
        })
    }

    /// NumPy's format 1.0: magic, version, the header's length, and the header, padded to 64 bytes.
    private static func header(of shape: [Int]) -> Data {
        let dimensions = shape.count == 1 ? "\(shape[0])," : shape.map(String.init).joined(separator: ", ")
        var described = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(dimensions)), }"
        while (10 + described.utf8.count + 1) % 64 != 0 { described += " " }
        described += "\n"
        let size = UInt16(described.utf8.count)
        let start: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(size & 0xff), UInt8(size >> 8)]
        return Data(start + Array(described.utf8))
    }

    private static func array(_ values: [Float], _ shape: [Int]) -> Data { header(of: shape) + littleEndian(values) }

    private static func floats(_ content: Data, _ shape: [Int]) throws -> [Float] {
        let header = self.header(of: shape)
        let count = shape.reduce(1, *)
        guard content.count == header.count + 4 * count, content.starts(with: header) else {
            throw FedKeyboardError("an array is not float32 \(shape)")
        }
        var values = [Float](repeating: 0, count: count)
        _ = values.withUnsafeMutableBytes { content.dropFirst(header.count).copyBytes(to: $0) }
        guard values.allSatisfy(\.isFinite) else { throw FedKeyboardError("an array has values that are not finite") }
        return values
    }
}
