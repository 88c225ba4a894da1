import Foundation
import OpenSSL

/// What is used of CryptoKit, which Apple's systems alone have, by OpenSSL.
public struct SHA256 {
    /// A class, to free it.
    private final class Context {
        let digest = EVP_MD_CTX_new()
        init() { EVP_DigestInit_ex(digest, EVP_sha256(), nil) }
        deinit { EVP_MD_CTX_free(digest) }
    }

    private let context = Context()

    public init() {}

    public static func hash<Content: DataProtocol>(data: Content) -> SHA256Digest {
        var hash = SHA256()
        hash.update(data: data)
        return hash.finalize()
    }

    public mutating func update<Content: DataProtocol>(data: Content) {
        for region in data.regions {
            region.withUnsafeBytes { _ = EVP_DigestUpdate(context.digest, $0.baseAddress, $0.count) }
        }
    }

    public func finalize() -> SHA256Digest {
        var bytes = [UInt8](repeating: 0, count: 32)
        EVP_DigestFinal_ex(context.digest, &bytes, nil)
        return SHA256Digest(bytes: bytes)
    }
}

public struct SHA256Digest: Sequence {
    fileprivate let bytes: [UInt8]

    public func makeIterator() -> IndexingIterator<[UInt8]> { bytes.makeIterator() }
}
