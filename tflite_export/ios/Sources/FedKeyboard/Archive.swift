import Foundation

/// ZIP files whose entries are stored, as NumPy's `savez` writes them: Foundation has no ZIP.
enum Archive {
    private static let local: UInt32 = 0x0403_4b50
    private static let central: UInt32 = 0x0201_4b50
    private static let end: UInt32 = 0x0605_4b50
    private static let localSize = 30

    /// Returns the bytes of an archive.
    static func write(_ entries: [(name: String, content: Data)]) -> Data {
        var archive = Data()
        var directory = Data()
        for (name, content) in entries {
            let offset = UInt32(archive.count)
            // Version 2.0, no flags, stored, and 1 January 1980.
            var described = Data()
            for field: UInt16 in [20, 0, 0, 0, 0x21] { described.append(field) }
            for field in [crc32(content), UInt32(content.count), UInt32(content.count)] { described.append(field) }
            for field in [UInt16(name.utf8.count), 0] { described.append(field) }
            archive.append(local)
            archive.append(described)
            archive.append(contentsOf: name.utf8)
            archive.append(content)
            directory.append(central)
            directory.append(UInt16(20))
            directory.append(described)
            // No comment, the first disk, no attributes.
            for field: UInt16 in [0, 0, 0, 0, 0] { directory.append(field) }
            directory.append(offset)
            directory.append(contentsOf: name.utf8)
        }
        let offset = UInt32(archive.count)
        archive.append(directory)
        archive.append(end)
        for field in [0, 0, UInt16(entries.count), UInt16(entries.count)] { archive.append(field) }
        for field in [UInt32(directory.count), offset] { archive.append(field) }
        archive.append(UInt16(0))
        return archive
    }

    /// Returns the entries of what `write` made; throws if it is damaged, or only part of it.
    static func read(_ archive: Data) throws -> [String: Data] {
        var entries: [String: Data] = [:]
        var at = 0
        while try archive.uint32(at) == local {
            let size = Int(try archive.uint32(at + 18))
            let nameSize = Int(try archive.uint32(at + 26) & 0xffff)
            let start = at + localSize + nameSize
            let name = try archive.part(at + localSize, nameSize)
            let content = try archive.part(start, size)
            guard crc32(content) == (try archive.uint32(at + 14)) else { throw FedKeyboardError("damaged") }
            entries[String(decoding: name, as: UTF8.self)] = content
            at = start + size
        }
        guard archive.count >= 22, try archive.uint32(archive.count - 22) == end else {
            throw FedKeyboardError("only part of a file")
        }
        return entries
    }

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 == 1 ? 0xedb8_8320 ^ (crc >> 1) : crc >> 1 }
    }

    private static func crc32(_ content: Data) -> UInt32 {
        ~content.reduce(~UInt32(0)) { crc, byte in table[Int((crc ^ UInt32(byte)) & 0xff)] ^ (crc >> 8) }
    }
}

extension Data {
    fileprivate mutating func append<Field: FixedWidthInteger>(_ field: Field) {
        Swift.withUnsafeBytes(of: field.littleEndian) { append(contentsOf: $0) }
    }

    fileprivate func part(_ offset: Int, _ size: Int) throws -> Data {
        guard offset + size <= count else { throw FedKeyboardError("only part of a file") }
        return subdata(in: startIndex + offset..<startIndex + offset + size)
    }

    fileprivate func uint32(_ offset: Int) throws -> UInt32 {
        try part(offset, 4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
