import CryptoKit
import Foundation

/// A phone package (docs/package.md).
public struct PhonePackage: Sendable {
    public static let inference = "model_infer.tflite"
    public static let training = "model_train.tflite"
    static let ngramsFile = "ngrams.bin"
    static let vocabularyFile = "vocabulary.txt"
    static let spellingsFile = "spellings.json"
    static let charactersFile = "characters.json"

    public let directory: URL
    let manifest: Manifest

    /// Opens a package; throws if it is none that this version reads.
    public init(directory: URL) throws {
        self.directory = directory
        let content = try Data(contentsOf: directory.appendingPathComponent("manifest.json"))
        // The format alone first: another major version may have other members.
        let format = try JSONDecoder().decode(Head.self, from: content).format
        guard format.name == "fedkeyboard-phone-package", format.version.hasPrefix("4.") else {
            throw FedKeyboardError("this app reads packages of version 4, not \(format.name) \(format.version)")
        }
        guard PhonePackage.isSealed(content) else { throw FedKeyboardError("manifest.json: damaged") }
        manifest = try JSONDecoder().decode(Manifest.self, from: content)
    }

    /// Whether the sha256 in a manifest, before the last four bytes, is that of its bytes with 64 zeros
    /// in the place of those digits.
    static func isSealed(_ content: Data) -> Bool {
        let digits = content.count - 4 - 64 ..< content.count - 4
        guard digits.lowerBound >= 0 else { return false }
        var zeros = [UInt8](content)
        let said = zeros[digits]
        zeros.replaceSubrange(digits, with: repeatElement(UInt8(ascii: "0"), count: 64))
        return Array(SHA256.hash(data: zeros).hexadecimal.utf8) == Array(said)
    }

    /// Names the weights that `model_train.tflite` opens with.
    public var weightsSHA256: String { manifest.model.weightsSHA256 }

    /// Names the vocabulary, and so the meaning of the weights' rows.
    public var vocabularySHA256: String { manifest.files[PhonePackage.vocabularyFile]?.sha256 ?? "" }

    /// How a phone trains for an update, as the simulated ones did.
    public var roundSettings: LearningSettings {
        let client = manifest.training.settings.client
        var settings = LearningSettings()
        settings.learningRate = client.learningRate
        settings.clippingNorm = client.clippingNorm
        settings.batchSize = client.batchSize
        settings.epochs = client.epochs
        return settings
    }

    /// On how many sentences at most.
    public var maximumSentences: Int { manifest.training.settings.client.maximumSentences }

    /// Reads the vocabulary, how its words are shown, and the rules of words.
    public func vocabulary() throws -> Vocabulary {
        let vocabulary = try Vocabulary(
            contentsOf: file(PhonePackage.vocabularyFile),
            spellings: file(PhonePackage.spellingsFile),
            characters: file(PhonePackage.charactersFile)
        )
        guard vocabulary.entries.count == manifest.model.vocabulary else {
            throw FedKeyboardError("the vocabulary is not as long as the manifest says")
        }
        return vocabulary
    }

    /// Reads what is mixed with what the model says.
    func ngrams() throws -> NGrams {
        let content = try Data(contentsOf: file(PhonePackage.ngramsFile), options: .mappedIfSafe)
        return try NGrams(content, vocabulary: manifest.model.vocabulary)
    }

    /// Returns a file of the package, after a look whether it is what the manifest says.
    public func file(_ name: String) throws -> URL {
        let url = directory.appendingPathComponent(name)
        let content = try Data(contentsOf: url, options: .mappedIfSafe)
        guard SHA256.hash(data: content).hexadecimal == manifest.files[name]?.sha256 else {
            throw FedKeyboardError("\(name): has other contents than the manifest says")
        }
        return url
    }
}

struct Manifest: Decodable {
    struct Format: Decodable {
        let name: String
        let version: String
    }

    /// The sizes V, D, H and T.
    struct Model: Decodable {
        let vocabulary: Int
        let embedding: Int
        let units: Int
        let length: Int
        let weightsSHA256: String

        enum CodingKeys: String, CodingKey {
            case vocabulary, embedding, units, length
            case weightsSHA256 = "weights_sha256"
        }
    }

    struct File: Decodable {
        let sha256: String
    }

    struct Training: Decodable {
        struct Settings: Decodable {
            struct Client: Decodable {
                let algorithm: String
                let weighting: String
                let learningRate: Float
                let clippingNorm: Float
                let batchSize: Int
                let epochs: Int
                let maximumSentences: Int

                enum CodingKeys: String, CodingKey {
                    case algorithm, weighting, epochs
                    case learningRate = "learning_rate"
                    case clippingNorm = "clipping_norm"
                    case batchSize = "batch_size"
                    case maximumSentences = "maximum_sentences"
                }
            }

            let client: Client
        }

        let settings: Settings
    }

    let model: Model
    let files: [String: File]
    let training: Training
}

private struct Head: Decodable {
    let format: Manifest.Format
}

extension SHA256Digest {
    var hexadecimal: String { map { String(format: "%02x", $0) }.joined() }
}
