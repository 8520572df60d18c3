<?php
// Beside the document root, so that no visitor can ask for it.

declare(strict_types=1);

function database(): PDO
{
    $url = parse_url((string) getenv('DATABASE_URL'));
    $source = sprintf('mysql:host=%s;port=%d;dbname=%s;charset=utf8mb4', $url['host'], $url['port'] ?? 3306, ltrim($url['path'], '/'));
    $database = new PDO($source, rawurldecode($url['user']), rawurldecode($url['pass'] ?? ''), [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_EMULATE_PREPARES => false,
    ]);
    $database->exec('CREATE TABLE IF NOT EXISTS notes (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, note VARCHAR(200) NOT NULL)');
    return $database;
}
