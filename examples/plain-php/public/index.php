<?php
declare(strict_types=1);

require __DIR__ . '/../database.php';

header('X-App-Instance: ' . getenv('STOA_INSTANCE'));
header('X-App-Release: ' . getenv('STOA_RELEASE'));

$database = database();
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $note = trim((string) ($_POST['note'] ?? ''));
    if (!preg_match('/^.{1,200}$/us', $note)) {
        http_response_code(400);
        exit('a note has 1 to 200 characters');
    }
    $database->prepare('INSERT INTO notes (note) VALUES (?)')->execute([$note]);
    header('Location: /', true, 303);
    exit;
}
$notes = $database->query('SELECT note FROM notes ORDER BY id DESC LIMIT 20')->fetchAll(PDO::FETCH_COLUMN);
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Plain PHP</title>
<link rel="stylesheet" href="/style.css">
<h1>Plain PHP</h1>
<form method="post">
  <label>Note <input name="note" required maxlength="200"></label>
  <button>Keep</button>
</form>
<ul>
<?php foreach ($notes as $note): ?>
  <li><?= htmlspecialchars($note) ?></li>
<?php endforeach ?>
</ul>
<footer>PHP <?= PHP_VERSION ?>, <?= htmlspecialchars((string) getenv('STOA_INSTANCE')) ?></footer>
