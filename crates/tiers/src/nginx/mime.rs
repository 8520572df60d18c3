//! File name endings and their media types (the IANA registry's), so that nothing depends on what the
//! distribution ships.

/// Media type, endings.
pub(super) const TYPES: &[(&str, &str)] = &[
    ("text/html", "html htm"),
    ("text/css", "css"),
    // RFC 9239 made the old application/javascript obsolete.
    ("text/javascript", "js mjs"),
    ("text/plain", "txt text log conf ini"),
    ("text/markdown", "md markdown"),
    ("text/csv", "csv"),
    ("text/calendar", "ics"),
    ("text/vcard", "vcf"),
    ("text/vtt", "vtt"),
    ("text/xml", "xml"),
    ("application/json", "json map"),
    ("application/ld+json", "jsonld"),
    ("application/geo+json", "geojson"),
    ("application/manifest+json", "webmanifest"),
    ("application/feed+json", "jsonfeed"),
    ("application/atom+xml", "atom"),
    ("application/rss+xml", "rss"),
    ("application/xhtml+xml", "xhtml"),
    ("application/xslt+xml", "xsl xslt"),
    ("application/wasm", "wasm"),
    ("application/pdf", "pdf"),
    ("application/rtf", "rtf"),
    ("application/epub+zip", "epub"),
    ("application/zip", "zip"),
    ("application/gzip", "gz tgz"),
    ("application/zstd", "zst"),
    ("application/x-bzip2", "bz2"),
    ("application/x-xz", "xz"),
    ("application/x-tar", "tar"),
    ("application/x-7z-compressed", "7z"),
    ("application/java-archive", "jar"),
    ("application/vnd.android.package-archive", "apk"),
    ("application/vnd.ms-fontobject", "eot"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/vnd.oasis.opendocument.presentation", "odp"),
    ("application/msword", "doc"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.apple.mpegurl", "m3u8"),
    ("application/sql", "sql"),
    ("application/yaml", "yaml yml"),
    ("application/toml", "toml"),
    ("font/woff", "woff"),
    ("font/woff2", "woff2"),
    ("font/ttf", "ttf"),
    ("font/otf", "otf"),
    ("font/collection", "ttc"),
    ("image/png", "png"),
    ("image/apng", "apng"),
    ("image/jpeg", "jpg jpeg jpe"),
    ("image/gif", "gif"),
    ("image/svg+xml", "svg svgz"),
    ("image/webp", "webp"),
    ("image/avif", "avif"),
    ("image/heic", "heic"),
    ("image/jxl", "jxl"),
    ("image/bmp", "bmp"),
    ("image/tiff", "tif tiff"),
    ("image/vnd.microsoft.icon", "ico cur"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/aac", "aac"),
    ("audio/flac", "flac"),
    ("audio/ogg", "oga ogg opus"),
    ("audio/wav", "wav"),
    ("audio/webm", "weba"),
    ("audio/midi", "mid midi"),
    ("video/mp4", "mp4 m4v"),
    ("video/mpeg", "mpg mpeg"),
    ("video/ogg", "ogv"),
    ("video/webm", "webm"),
    ("video/quicktime", "mov"),
    ("video/x-msvideo", "avi"),
    ("video/x-matroska", "mkv"),
    ("video/mp2t", "ts"),
    ("model/gltf-binary", "glb"),
    ("model/gltf+json", "gltf"),
];

/// What is worth compressing; `text/html` always is.
pub(super) const COMPRESSED: &str = "text/css text/javascript application/javascript text/plain \
    text/markdown text/csv text/calendar text/vcard text/vtt text/xml application/xml application/json \
    application/ld+json application/geo+json application/manifest+json application/feed+json \
    application/atom+xml application/rss+xml application/xhtml+xml application/wasm \
    application/vnd.ms-fontobject font/ttf font/otf image/svg+xml image/bmp \
    image/vnd.microsoft.icon";

#[cfg(test)]
mod tests {
    #[test]
    fn every_ending_has_one_type() {
        let mut endings: Vec<&str> = super::TYPES.iter().flat_map(|(_, e)| e.split(' ')).collect();
        let all = endings.len();
        endings.sort_unstable();
        endings.dedup();
        assert_eq!(endings.len(), all);
    }
}
